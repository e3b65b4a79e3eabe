"""Plans whose spend fits with confidence: a quantile of it, not its mean.

A quantile is not linear, so the closed form of `optimise` does not stand: each pair of types is
searched for the most that fits.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Final

import numpy as np

from omnicost.cost import ORDER, SECONDS_PER_HOUR, SpendDraws
from omnicost.errors import InputError
from omnicost.plan.linear import COARSE, around
from omnicost.plan.optimise import MASK, Problem, new_spend_seconds

_SHRINKS: Final = 40
_CLOSE: Final = 5e-4
"""Share of the budget that the largest budget that fits is found to."""

Solver = Callable[[float], np.ndarray]


def fit_confidence(
    solve: Solver, problem: Problem, spend: SpendDraws, budget_seconds: float, confidence: float
) -> np.ndarray:
    """The solution of the largest budget not over the given one whose quantile fits it.

    `solve` gets a budget in seconds and returns images per type, (T,).

    Raises:
        InputError: if not even a far smaller budget's solution fits.
    """

    def reached(images: np.ndarray) -> float:
        return float(np.quantile(new_spend_seconds(problem, spend, images), confidence))

    allowed = over = budget_seconds
    images = solve(allowed)
    for step in range(_SHRINKS):
        if (spent := reached(images)) <= budget_seconds:
            break
        # A smaller mean may go with a wider spread: steps grow, lest they stay on the edge.
        over, allowed = allowed, allowed * budget_seconds / spent * (1 - min(1e-6 * 2**step, 0.5))
        images = solve(allowed)
    else:
        raise InputError("`confidence`", f"no plan fits at {confidence:g}", "raise the budget")
    while over - allowed > _CLOSE * budget_seconds:  # the last step may have gone far below
        middle = (over + allowed) / 2
        other = solve(middle)
        if reached(other) <= budget_seconds:
            allowed, images = middle, other
        else:
            over = middle
    return images


def best_at_confidence(
    problem: Problem, spend: SpendDraws, budget_seconds: float, confidence: float
) -> np.ndarray:
    """Images per type, (T,), with the most expected AP whose spend fits with that confidence.

    Raises:
        InputError: if no policy fits.
    """

    def solve(budget: float) -> np.ndarray:
        coarse = _best_linear(problem, spend, budget, confidence, problem.mask_grid(COARSE))
        near = around(problem, coarse[MASK], problem.mask_grid(COARSE))
        return _best_linear(problem, spend, budget, confidence, near)

    return fit_confidence(solve, problem, spend, budget_seconds, confidence)


def _best_linear(
    problem: Problem, spend: SpendDraws, budget: float, confidence: float, masks: np.ndarray
) -> np.ndarray:
    """The best of all pairs of types, single images' noise left out: it is far under 1%."""
    seconds = spend.type_seconds
    strengths = problem.strengths.tolist()
    pairs = list(combinations(sorted(strengths, key=lambda s: problem.seconds[s]), 2))
    pairs += [(one, one) for one in strengths]
    found = []
    for cheap, dear in pairs:
        rest = problem.images - masks
        base = np.outer(masks, seconds[:, MASK]) + np.outer(rest, seconds[:, cheap])
        step = seconds[:, dear] - seconds[:, cheap]
        upper = _most_that_fits(base, step, rest, budget, confidence)
        images = np.zeros((len(masks), len(ORDER)), dtype=np.int64)
        images[:, MASK] = masks
        images[:, cheap] += rest - np.maximum(upper, 0)
        images[:, dear] += np.maximum(upper, 0)
        found.append(images[upper >= 0])
    candidates = np.concatenate(found)
    if not len(candidates):
        text = f"{budget / SECONDS_PER_HOUR:,.4g} h fits no policy at {confidence:.0%} confidence"
        raise InputError("`budget`", text, "raise it, or allow a cheaper type with `types`")
    best: np.ndarray = candidates[problem.share_of_full(candidates).argmax()]
    return best


def _most_that_fits(
    base: np.ndarray, step: np.ndarray, rest: np.ndarray, budget: float, confidence: float
) -> np.ndarray:
    """Most dear images with which the quantile fits, by bisection: (M,); -1 where none does.

    Args:
        base: (M, D) seconds with none of them.
        step: (D,) seconds more for each.
        rest: (M,) how many there may be.
        budget: seconds.
        confidence: quantile.
    """

    def fits(count: np.ndarray) -> np.ndarray:
        within: np.ndarray = np.quantile(base + np.outer(count, step), confidence, axis=1) <= budget
        return within

    low, high = np.where(fits(np.zeros_like(rest)), 0, -1), rest + 1
    while (high - low > 1).any():
        middle = (low + high) // 2
        good = fits(np.maximum(middle, 0)) & (low >= 0)
        low, high = np.where(good, middle, low), np.where(good, high, middle)
        high = np.where(low < 0, low + 1, high)
    return low
