"""A front that is sought: the cells of one data set and recipe, and what scores say of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from omnicost.annotation import Policy
from omnicost.decide.belief import LEAST_AP, PRIOR_AP, Belief, prior_belief
from omnicost.decide.choose import DRAWS, expected_regret
from omnicost.decide.prices import PricedStudent, Prices
from omnicost.decide.worth import Worth
from omnicost.forecast.observations import Observations
from omnicost.forecast.spread import typical_sds

INTERVAL: Final = (0.05, 0.95)


class Score(NamedTuple):
    """A trained student's AP in percent."""

    student: PricedStudent
    ap: float


class Spread(NamedTuple):
    """How students of one cell scatter, in AP: each by itself, and all of a seed together."""

    own_sd: float
    seed_sd: float


class CellForecast(NamedTuple):
    """What is believed of one cell.

    Args:
        ap, low, high: percent; 5 in 100 lie below low, and as many above high.
        on_front: chance that the best plan of some budget uses the cell.
    """

    ap: float
    low: float
    high: float
    on_front: float


@dataclass(frozen=True)
class Front:
    """N cells of one data set and recipe.

    Args:
        name: of the data set, and of the recipe where a card has several.
        schedule: label of the full one.
        worth: of plans over the budgets that matter.
        shorter: share of the steps of each shorter schedule.
        seeds: how many there are.
        spread_ap: standard deviation of one run where it is known; None to learn it.
    """

    name: str
    schedule: str
    policies: tuple[Policy, ...]
    worth: Worth
    prices: Prices
    shorter: tuple[float, ...] = ()
    seeds: int = 1
    spread_ap: float | None = None

    def spread(self, scores: Iterable[Score]) -> Spread:
        """How runs scatter, from the repeats among the scores and what is known of schedules."""
        runs = self._observations([score for score in scores if self.is_full(score.student)])
        own, common = typical_sds(runs)
        known = 1.0 if self.spread_ap is None else self.spread_ap / float(np.hypot(own, common))
        return Spread(known * own, known * common)

    def is_full(self, student: PricedStudent) -> bool:
        """Whether it trains on the full schedule."""
        return student.coordinate < len(self.policies)

    def _observations(self, scores: Sequence[Score]) -> Observations:
        policies = [self.policies[score.student.coordinate] for score in scores]
        strengths = [min((k.strength for k in one.weak_types), default=-1) for one in policies]
        share = np.array([policy.mask_share for policy in policies])
        return Observations(
            dataset=self.name,
            schedule=self.schedule,
            images=1,
            weak=np.array(strengths, int),
            masks=share,
            share=share,
            ap=np.array([score.ap for score in scores], float),
            seed=np.array([score.student.seed for score in scores], int),
        )

    def believe(self, scores: Sequence[Score]) -> tuple[Belief, Spread]:
        """What the scores leave to believe."""
        spread = self.spread(scores)
        level = np.mean([max(score.ap, LEAST_AP) for score in scores]) if scores else PRIOR_AP
        seed_sds = [spread.seed_sd / float(level)] * self.seeds
        belief = prior_belief(self.policies, self.shorter, seed_sds)
        for student, ap in scores:
            belief = belief.after(student.coordinate, ap, spread.own_sd, student.seed)
        return belief, spread

    def regret(self, scores: Sequence[Score]) -> float:
        """AP that plans are expected to lose today, on average over the budgets."""
        belief, _ = self.believe(scores)
        return expected_regret(belief, self.worth, np.random.default_rng(0))

    def forecast(self, scores: Sequence[Score]) -> list[CellForecast]:
        """Each cell's AP with its interval."""
        belief, _ = self.believe(scores)
        draws = np.minimum(belief.draw(np.random.default_rng(0), DRAWS), 100.0)
        low, high = np.quantile(draws, INTERVAL, axis=0)
        used = np.mean([(self.worth.choose(ap) > 0).any(axis=0) for ap in draws], axis=0)
        figures = zip(belief.expected_ap, low, high, used, strict=True)
        return [CellForecast(*map(float, each)) for each in figures]
