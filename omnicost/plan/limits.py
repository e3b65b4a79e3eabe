"""Plans under more than a mean budget: a spend that fits with confidence, and limited hours.

Neither leaves the closed form of `optimise` standing. A quantile of the spend is not linear, so
each pair of types is searched for the most that fits. Limited hours of a type make the division of
the rest a linear program.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Final

import numpy as np
from scipy.optimize import LinearConstraint, linprog, milp

from omnicost.annotation import AnnotationType
from omnicost.cost import ORDER, SECONDS_PER_HOUR, SpendDraws
from omnicost.errors import InputError
from omnicost.plan.optimise import MASK, Problem

_SHRINKS: Final = 40
_REFINED: Final = 60
_COARSE: Final = 1.1

Solver = Callable[[float], np.ndarray]


def fit_confidence(
    solve: Solver, spend: SpendDraws, budget_seconds: float, confidence: float
) -> np.ndarray:
    """The solution of the largest budget not over the given one whose quantile fits it.

    `solve` gets a budget in seconds and returns images per type, (5,).

    Raises:
        InputError: if not even a far smaller budget's solution fits.
    """
    allowed = budget_seconds
    for _ in range(_SHRINKS):
        images = solve(allowed)
        reached = float(np.quantile(spend.spend_seconds(images), confidence))
        if reached <= budget_seconds:
            return images
        allowed *= budget_seconds / reached * (1 - 1e-6)
    raise InputError("--confidence", f"no plan fits at {confidence:g}", "raise the budget")


def best_at_confidence(
    problem: Problem, spend: SpendDraws, budget_seconds: float, confidence: float
) -> np.ndarray:
    """Images per type, (5,), with the most expected AP whose spend fits with that confidence.

    Raises:
        InputError: if no policy fits.
    """

    def solve(budget: float) -> np.ndarray:
        coarse = _best_linear(problem, spend, budget, confidence, problem.mask_grid(_COARSE))
        near = _around(problem, coarse[MASK], problem.mask_grid(_COARSE))
        return _best_linear(problem, spend, budget, confidence, near)

    return fit_confidence(solve, spend, budget_seconds, confidence)


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
        raise InputError("--budget", text, "raise it, or allow a cheaper type with --types")
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


def best_with_hours(
    problem: Problem,
    max_hours: dict[AnnotationType, float],
    budget_seconds: float = np.inf,
    target: float | None = None,
) -> np.ndarray:
    """Images per type, (5,), when some types have only so many hours: a linear program.

    Without a target, the most expected AP for the budget; with one, the least cost that reaches it.

    Raises:
        InputError: if nothing satisfies all limits.
    """
    most = _most_images(problem, max_hours)
    grid = problem.mask_grid(_COARSE)
    grid = np.unique(np.append(grid[grid <= most[MASK]], most[MASK] * problem.masks_allowed))
    coarse = _scan(problem, most, budget_seconds, target, grid)
    near = _around(problem, int(grid[coarse.argmin()]), grid)
    near = near[near <= most[MASK]]
    score = _scan(problem, most, budget_seconds, target, near)
    for index in np.argsort(score)[:_REFINED]:
        if np.isfinite(score[index]):
            whole = _divide_whole(problem, most, budget_seconds, target, int(near[index]))
            if whole is not None:
                return whole
    raise InputError(
        "--max-hours", "no policy keeps all limits", "raise the hours, or allow more types"
    )


def _most_images(problem: Problem, max_hours: dict[AnnotationType, float]) -> np.ndarray:
    """Images that each type's hours allow: (5,) int64."""
    most = np.full(len(ORDER), problem.images)
    for kind, limit in max_hours.items():
        if problem.seconds[kind.strength] > 0:
            allowed = int(limit * SECONDS_PER_HOUR / problem.seconds[kind.strength])
            most[kind.strength] = min(problem.images, allowed)
    return most


def _scan(
    problem: Problem, most: np.ndarray, budget: float, target: float | None, masks: np.ndarray
) -> np.ndarray:
    """Objective of the linear program beside each number of masks: (M,); inf if infeasible."""
    scores = np.full(len(masks), np.inf)
    for index, count in enumerate(masks.tolist()):
        objective, rows, limits = _program(problem, budget, target, count)
        done = linprog(
            objective,
            A_ub=rows,
            b_ub=limits,
            A_eq=np.ones((1, len(objective))),
            b_eq=[problem.images - count],
            bounds=[(0, bound) for bound in most[problem.strengths].tolist()],
            method="highs",
        )
        if done.status == 0:
            fixed = -count if target is None else count * problem.seconds[MASK]
            scores[index] = done.fun + fixed
    return scores


def _program(
    problem: Problem, budget: float, target: float | None, masks: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Objective to make small, rows and their upper limits, over the weak types."""
    worth, seconds = problem.surface.at(float(masks)), problem.weak_seconds
    rows, limits = [], []
    if np.isfinite(budget):
        rows.append(seconds)
        limits.append(budget - masks * problem.seconds[MASK])
    if target is not None:
        rows.append(-worth)
        limits.append(masks - target * problem.images)
    objective = -worth if target is None else seconds
    return objective, np.array(rows).reshape(len(rows), len(worth)), np.array(limits)


def _divide_whole(
    problem: Problem, most: np.ndarray, budget: float, target: float | None, masks: int
) -> np.ndarray | None:
    """The same program in whole images: (5,) int64, None if infeasible."""
    objective, rows, limits = _program(problem, budget, target, masks)
    constraints = [LinearConstraint(np.ones(len(objective)), *(2 * [problem.images - masks]))]
    if len(rows):
        constraints.append(LinearConstraint(rows, ub=limits))
    bounds = (np.zeros(len(objective)), most[problem.strengths])
    done = milp(objective, integrality=1, bounds=bounds, constraints=constraints)
    if done.x is None:
        return None
    images = np.zeros(len(ORDER), dtype=np.int64)
    images[problem.strengths] = np.round(done.x).astype(np.int64)
    images[MASK] = masks
    return images


def _around(problem: Problem, masks: int, grid: np.ndarray) -> np.ndarray:
    """Numbers of masks between the grid's neighbours of one of its points."""
    index = int(np.searchsorted(grid, masks))
    low, high = grid[max(index - 1, 0)], grid[min(index + 1, len(grid) - 1)]
    dense = np.linspace(low, high, min(_REFINED, int(high - low) + 1)).round().astype(np.int64)
    return np.unique(np.append(dense, masks))
