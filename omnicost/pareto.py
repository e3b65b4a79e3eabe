"""Cost against value: dominance, front, concave hull, mixtures.

Costs are to be small, values large; both are plain numbers of any unit. Every function reads its
points along the last axis, and those that say so are vectorised over the axes before it.
"""

from __future__ import annotations

from itertools import combinations
from typing import Final, NamedTuple

import numpy as np

from omnicost.errors import InputError

# A mixture must beat a single policy by more than rounding to be preferred.
_ROUNDING: Final = 1e-12


def is_dominated(cost: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Whether another point costs no more, is worth no less, and is better in one of the two.

    Every point is compared with every other, which suits some thousands of them.

    Args:
        cost: ``(..., N)``.
        value: ``(..., N)``; vectorised over the leading axes.

    Returns:
        ``(..., N)`` bool. Equal points do not dominate each other.
    """
    cost, value = _points(cost, value)
    less, more = cost[..., None, :], value[..., None, :]  # of the others, along the last axis
    no_worse = (less <= cost[..., None]) & (more >= value[..., None])
    better = (less < cost[..., None]) | (more > value[..., None])
    return np.any(no_worse & better, axis=-1)


def front(cost: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Indices of the points that no other dominates, cheapest first: ``(F,)`` int64."""
    cost, value = _points(cost, value)
    kept = np.flatnonzero(~is_dominated(cost, value))
    return kept[np.lexsort((value[kept], cost[kept]))]


def hull(cost: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Indices of the corners of the upper concave hull of the front, cheapest first: ``(H,)``.

    The straight lines between neighbouring corners are what mixing two policies can reach.
    """
    cost, value = _points(cost, value)
    corners: list[int] = []
    for point in front(cost, value):
        if corners and cost[corners[-1]] == cost[point]:
            continue
        while len(corners) > 1 and _below(cost, value, corners[-2], corners[-1], point):
            corners.pop()
        corners.append(int(point))
    return np.array(corners, dtype=np.int64)


def _below(cost: np.ndarray, value: np.ndarray, left: int, middle: int, right: int) -> bool:
    """Whether the middle point is on or under the line from left to right."""
    run, rise = cost[right] - cost[left], value[right] - value[left]
    return bool((value[middle] - value[left]) * run <= rise * (cost[middle] - cost[left]))


class Mix(NamedTuple):
    """The best mixture of two points at a budget; each field is ``(...,)``.

    `weight` is the share of `dear`; the rest is `cheap`. Where one point is best alone both indices
    are its own and the weight is 0. Where no point is affordable the value is -inf.
    """

    value: np.ndarray
    cheap: np.ndarray
    dear: np.ndarray
    weight: np.ndarray


def best_mix(cost: np.ndarray, value: np.ndarray, budget: np.ndarray | float) -> Mix:
    """The upper concave hull at a budget: what the best mixture of two points is worth.

    Looks at every pair, so it suits few points under many draws; `hull` suits many points.

    Args:
        cost: ``(..., N)``.
        value: ``(..., N)``; vectorised over the leading axes.
        budget: ``(...,)``, what the mixture may cost at most.

    Returns:
        The best mixture; of equally good ones a single point, and of those the cheapest.
    """
    cost, value = np.broadcast_arrays(np.asarray(cost, float), np.asarray(value, float))
    budget = np.broadcast_to(np.asarray(budget, float), cost.shape[:-1])
    best = _best_single(cost, value, budget)
    for one, other in combinations(range(cost.shape[-1]), 2):
        swap = cost[..., one] > cost[..., other]
        cheap, dear = np.where(swap, other, one), np.where(swap, one, other)
        low, high = _pick(cost, cheap), _pick(cost, dear)
        low_value, high_value = _pick(value, cheap), _pick(value, dear)
        with np.errstate(divide="ignore", invalid="ignore"):
            weight = (budget - low) / (high - low)
            mixed = low_value + weight * (high_value - low_value)
        better = (low <= budget) & (budget < high) & (high_value > low_value)
        better &= mixed > best.value + _ROUNDING
        pair = Mix(mixed, cheap, dear, weight)
        best = Mix(*(np.where(better, new, old) for new, old in zip(pair, best, strict=True)))
    return best


def _best_single(cost: np.ndarray, value: np.ndarray, budget: np.ndarray) -> Mix:
    affordable = np.where(cost <= budget[..., None], value, -np.inf)
    top = affordable.max(axis=-1)
    tied = affordable >= top[..., None] - _ROUNDING
    index = np.where(tied, cost, np.inf).argmin(axis=-1)
    return Mix(_pick(affordable, index), index, index, np.zeros(index.shape))


def _pick(points: np.ndarray, index: np.ndarray) -> np.ndarray:
    return np.take_along_axis(points, index[..., None], -1)[..., 0]


def _points(cost: np.ndarray, value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    cost, value = np.asarray(cost, float), np.asarray(value, float)
    if cost.shape != value.shape or cost.ndim == 0 or cost.shape[-1] == 0:
        shapes = f"{cost.shape} and {value.shape}"
        raise InputError("points", f"costs and values are {shapes}", "give one value a cost")
    if np.isnan(cost).any() or np.isnan(value).any():
        raise InputError("points", "a cost or value is NaN", "leave unmeasured points out")
    return cost, value
