"""What a plan is worth over the budgets that matter, given every cell's AP."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np


@dataclass(frozen=True)
class Worth:
    """Plans that each budget can pay: single cells, and mixtures of two that use it up.

    Args:
        mixtures: ``(M, N)`` share of the images under each cell.
        first: ``(B,)`` index of each budget's first mixture; they are in order of budgets.
    """

    mixtures: np.ndarray
    first: np.ndarray

    def best(self, ap: np.ndarray) -> np.ndarray:
        """``(..., B)`` AP of the best plan at each budget where cells have ``(..., N)`` AP."""
        return np.maximum.reduceat(ap @ self.mixtures.T, self.first, axis=-1)

    def choose(self, ap: np.ndarray) -> np.ndarray:
        """``(B, N)`` the plan that is best at each budget where cells have ``(N,)`` AP."""
        values = np.split(self.mixtures @ ap, self.first[1:])  # of each budget's own
        return self.mixtures[self.first + [own.argmax() for own in values]]

    def regret(self, believed: np.ndarray, true: np.ndarray) -> np.ndarray:
        """``(..., B)`` AP lost by planning with ``(N,)`` believed where ``(..., N)`` is true."""
        chosen = true @ self.choose(believed).T
        return self.best(true) - chosen


def plan_worth(seconds: np.ndarray, budgets: np.ndarray) -> Worth:
    """The plans that can be paid for.

    Two cells are mixed along a line, which leaves out that masks tune the teacher of all images: a
    finer choice than ``omnicost plan``'s would not change which cell is worth measuring.

    Args:
        seconds: ``(N,)`` labelling seconds of an image under each cell.
        budgets: ``(B,)`` seconds an image, each enough for the cheapest cell.
    """
    payable = [list(_payable(seconds, budget)) for budget in budgets.tolist()]
    first = np.cumsum([0, *map(len, payable[:-1])])
    return Worth(np.concatenate(payable), first)


def _payable(seconds: np.ndarray, budget: float) -> Iterator[np.ndarray]:
    unit = np.eye(len(seconds))
    yield from unit[seconds <= budget]
    for one, other in combinations(range(len(seconds)), 2):
        cheap, dear = (one, other) if seconds[one] <= seconds[other] else (other, one)
        if seconds[cheap] <= budget < seconds[dear]:
            share = (budget - seconds[cheap]) / (seconds[dear] - seconds[cheap])
            yield (1 - share) * unit[cheap] + share * unit[dear]


def spread_budgets(seconds: np.ndarray, count: int = 20) -> np.ndarray:
    """Budgets from the cheapest label that costs anything to masks everywhere, evenly in log."""
    paid = seconds[seconds > 0]
    if not len(paid):
        return np.zeros(1)
    return np.geomspace(paid.min(), paid.max(), count)
