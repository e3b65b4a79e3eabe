"""Plans: which images get which annotation, for the most AP or the least money.

`evidence` turns measured students into a smoothed AP `surface` (or `transfer`s one from other data
sets), `optimise` and `limits` find the allocation, `answer` picks among them by the `question`,
`uncertainty` says what it may come to, and `build` puts these together.
"""

from omnicost.plan.build import Alternative, Plan, make_plan, policy_of
from omnicost.plan.evidence import Evidence, gather, statistics_from_rows
from omnicost.plan.question import Question
from omnicost.plan.uncertainty import Expectation, Risk

__all__ = [
    "Alternative",
    "Evidence",
    "Expectation",
    "Plan",
    "Question",
    "Risk",
    "gather",
    "make_plan",
    "policy_of",
    "statistics_from_rows",
]
