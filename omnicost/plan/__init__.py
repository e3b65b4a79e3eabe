"""Plans: which images get which annotation, for the most AP or the least money.

`evidence` turns measured students into a smoothed AP `surface` (or `transfer`s one from other data
sets), `optimise` and `limits` find the allocation, `answer` picks among them by the `question`,
`uncertainty` says what it may come to, and `build` puts these together.
"""

from omnicost.plan.build import Plan, make_plan
from omnicost.plan.evidence import Evidence, gather, statistics_from_rows
from omnicost.plan.question import Question

__all__ = ["Evidence", "Plan", "Question", "gather", "make_plan", "statistics_from_rows"]
