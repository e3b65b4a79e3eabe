"""What a plan may come to, over draws common to every policy that is compared.

One draw is a world: its AP surface, its labelling times and statistics hold for all policies.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from omnicost.cost import SECONDS_PER_HOUR, Interval, SpendDraws, interval
from omnicost.pareto import best_mix
from omnicost.plan.optimise import MASK, Problem, new_spend_seconds

LEVEL: Final = 0.8
CLOSE_AP: Final = 0.5
"""AP points within which a plan counts as good as the best."""
_CHUNK: Final = 100


@dataclass(frozen=True)
class Worlds:
    """D draws of everything that is uncertain.

    Attributes:
        problem: what is divided; its surface holds the draws of AP.
        spend: draws of what allocations take.
    """

    problem: Problem
    spend: SpendDraws

    def shares(self, images: np.ndarray) -> np.ndarray:
        """AP of one allocation (T,) as a share of full supervision in each draw: (D,)."""
        masks = float(images[MASK])
        weak = images[self.problem.strengths]
        drawn: np.ndarray = self.problem.surface.draws_at(masks) @ weak
        return (masks + drawn) / self.problem.images

    def student_shares(self, images: np.ndarray) -> np.ndarray:
        """What one student may reach, with its scatter and what the model has wrong: (D,)."""
        surface = self.problem.surface
        weak = images[self.problem.strengths] / self.problem.images
        reached: np.ndarray = self.shares(images) + surface.run_draws + surface.misfit_draws @ weak
        return reached

    def best_shares(self, budget_seconds: np.ndarray, masks: np.ndarray) -> np.ndarray:
        """The most that each draw's budget (D,) would have bought had one known the draw: (D,)."""
        count = len(budget_seconds)
        chunks = [slice(start, start + _CHUNK) for start in range(0, count, _CHUNK)]
        worth = self.problem.surface.draws_at
        # The curves are read on the grid once; a chunk bounds the memory of the pairs.
        curves = worth(masks)
        return np.concatenate([self._best(budget_seconds[c], masks, curves[c], c) for c in chunks])

    def _best(
        self, budget: np.ndarray, masks: np.ndarray, curves: np.ndarray, chunk: slice
    ) -> np.ndarray:
        seconds = self.spend.type_seconds[chunk]
        rest = self.problem.images - masks
        left = budget[:, None] - masks * seconds[:, MASK, None]
        each = np.where(left >= 0, left / np.maximum(rest, 1), -1.0)
        cost = seconds[:, None, self.problem.strengths]
        mix = best_mix(cost, np.moveaxis(curves, 1, 2), each)
        masked = np.where(left >= 0, 0.0, -np.inf)
        value = np.where(rest > 0, np.maximum(rest, 1) * mix.value, masked)
        best: np.ndarray = (masks + value).max(axis=1) / self.problem.images
        return best


class Expectation(NamedTuple):
    """What a plan is expected to reach; intervals hold `LEVEL` and include one student's noise."""

    share: float
    share_interval: Interval
    ap: float | None
    ap_interval: Interval | None


class Risk(NamedTuple):
    """What a plan may cost, and what it may miss, over the draws."""

    hours_interval: Interval
    p90_hours: float
    over_budget: float | None
    """Chance that the spend exceeds the budget; None for a target."""
    short_of_target: float | None
    """Chance that AP stays under the target; None for a budget."""
    regret_ap: float
    """Expected AP points short of the best policy that each draw's money would have bought."""
    close_to_best: float
    """Chance of being within `CLOSE_AP` points of it."""


def expect(worlds: Worlds, images: np.ndarray) -> Expectation:
    """Expected AP of an allocation (T,) and its interval."""
    problem, surface = worlds.problem, worlds.problem.surface
    share = float(problem.share_of_full(images))
    drawn = worlds.student_shares(images)
    shares = Interval(*np.clip(interval(drawn, LEVEL), 0.0, None).tolist())
    if surface.full is None:
        return Expectation(share, shares, None, None)
    aps = interval(drawn * surface.full_draws, LEVEL)
    return Expectation(share, shares, share * surface.full, Interval(*np.clip(aps, 0, 100)))


def assess(
    worlds: Worlds,
    images: np.ndarray,
    budget_seconds: float | None,
    target: float | None,
    masks: np.ndarray,
) -> Risk:
    """The risk of an allocation (T,); `masks` are those that a better-informed plan could take.

    The best of a draw may spend the budget or, where that is more, what the plan spends there, so
    that overspending earns no praise.
    """
    spend = new_spend_seconds(worlds.problem, worlds.spend, images)
    shares = worlds.shares(images)
    allowed = spend if budget_seconds is None else np.maximum(spend, budget_seconds)
    # Hindsight would have spent what the labels in hand are worth as well.
    allowed = allowed + worlds.spend.type_seconds @ worlds.problem.held
    best = np.maximum(worlds.best_shares(allowed, masks), shares)
    regret = (best - shares) * worlds.problem.surface.full_draws
    over = None if budget_seconds is None else float((spend > budget_seconds).mean())
    short = None if target is None else float((shares < target).mean())
    return Risk(
        hours_interval=interval(spend / SECONDS_PER_HOUR, LEVEL),
        p90_hours=float(np.quantile(spend, 0.9)) / SECONDS_PER_HOUR,
        over_budget=over,
        short_of_target=short,
        regret_ap=float(regret.mean()),
        close_to_best=float((regret <= CLOSE_AP).mean()),
    )
