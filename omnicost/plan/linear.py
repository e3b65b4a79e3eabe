"""Plans under limited hours of a type, or with labels in hand: linear programs.

Beside a given number of masks, AP and cost are linear in the images of each weak type that get a
new label and in those that keep the one they have, so each number of masks of a grid is a linear
program; the grid is refined around its best, and the best is divided into whole images.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
from scipy.optimize import LinearConstraint, linprog, milp

from omnicost.annotation import AnnotationType
from omnicost.cost import ORDER, SECONDS_PER_HOUR
from omnicost.errors import InputError
from omnicost.plan.optimise import MASK, Problem

COARSE: Final = 1.1
_REFINED: Final = 60


class _Ask(NamedTuple):
    """What every program of one question shares."""

    problem: Problem
    most: np.ndarray
    """(T,) new labels that each type's hours allow."""
    budget: float
    target: float | None


class _Program(NamedTuple):
    """Make `objective` small over new and kept images of each weak type, (2 T,)."""

    objective: np.ndarray
    rows: np.ndarray
    limits: np.ndarray
    bounds: np.ndarray
    rest: int
    fixed: float


def best_with_limits(
    problem: Problem,
    max_hours: Mapping[AnnotationType, float],
    budget_seconds: float = np.inf,
    target: float | None = None,
) -> np.ndarray:
    """Images per type, (T,), when some types have only so many hours, or labels are in hand.

    Without a target, the most expected AP for the budget; with one, the least cost that reaches it.

    Raises:
        InputError: if nothing satisfies all limits.
    """
    ask = _Ask(problem, _most_images(problem, max_hours), budget_seconds, target)
    held = int(problem.held[MASK])
    highest = min(held + int(ask.most[MASK]), problem.images) if problem.masks_allowed else held
    grid = np.unique(np.append(problem.mask_grid(COARSE), [held, highest]))
    grid = grid[(grid >= held) & (grid <= highest)]
    coarse = _scan(ask, grid)
    near = around(problem, int(grid[coarse.argmin()]), grid)
    near = near[(near >= held) & (near <= highest)]
    score = _scan(ask, near)
    for index in np.argsort(score)[:_REFINED]:
        if np.isfinite(score[index]):
            whole = _divide_whole(ask, int(near[index]))
            if whole is not None:
                return whole
    where = "`max_hours`" if max_hours else "`target`" if target is not None else "`budget`"
    raise InputError(where, "no policy keeps all limits", "raise it, or allow more types")


def _most_images(problem: Problem, max_hours: Mapping[AnnotationType, float]) -> np.ndarray:
    """New labels that each type's hours allow: (T,) int64."""
    most = np.full(len(ORDER), problem.images)
    for annotation, limit in max_hours.items():
        if problem.seconds[annotation.strength] > 0:
            allowed = int(limit * SECONDS_PER_HOUR / problem.seconds[annotation.strength])
            most[annotation.strength] = min(problem.images, allowed)
    return most


def _scan(ask: _Ask, masks: np.ndarray) -> np.ndarray:
    """Objective of the linear program beside each number of masks: (M,); inf if infeasible."""
    scores = np.full(len(masks), np.inf)
    for index, count in enumerate(masks.tolist()):
        program = _program(ask, count)
        done = linprog(
            program.objective,
            A_ub=program.rows,
            b_ub=program.limits,
            A_eq=np.ones((1, len(program.objective))),
            b_eq=[program.rest],
            bounds=program.bounds.T,
            method="highs",
        )
        if done.status == 0:
            scores[index] = done.fun + program.fixed
    return scores


def _program(ask: _Ask, masks: int) -> _Program:
    problem, strengths = ask.problem, ask.problem.strengths
    held = problem.held[strengths]
    worth = np.tile(problem.surface.at(float(masks)), 2)
    # A label that is raised was paid in part already; one that is kept costs what that would save.
    labelled = np.full(len(held), problem.paid_again)
    cost = np.concatenate([problem.weak_seconds, labelled])
    spent = (masks - int(problem.held[MASK])) * problem.seconds[MASK] - labelled @ held
    rows, limits = [], []
    if np.isfinite(ask.budget):
        rows.append(cost)
        limits.append(ask.budget - spent)
    if ask.target is not None:
        rows.append(-worth)
        limits.append(masks - ask.target * problem.images)
    raised = masks - int(problem.held[MASK])
    for strength, kept in zip(strengths[1:], np.cumsum(held[::-1])[::-1][1:], strict=True):
        # Nothing is lowered: as many images have this type or a stronger one as have it now.
        if kept:
            rows.append(-np.tile(strengths >= strength, 2).astype(float))
            limits.append(float(raised - kept))
    bounds = np.stack([np.zeros(2 * len(held)), np.concatenate([ask.most[strengths], held])])
    return _Program(
        objective=-worth if ask.target is None else cost,
        rows=np.array(rows).reshape(len(rows), len(worth)),
        limits=np.array(limits),
        bounds=bounds,
        rest=problem.images - masks,
        fixed=-float(masks) if ask.target is None else float(spent),
    )


def _divide_whole(ask: _Ask, masks: int) -> np.ndarray | None:
    """The same program in whole images: (T,) int64, None if infeasible."""
    program, strengths = _program(ask, masks), ask.problem.strengths
    constraints = [LinearConstraint(np.ones(len(program.objective)), program.rest, program.rest)]
    if len(program.rows):
        constraints.append(LinearConstraint(program.rows, ub=program.limits))
    done = milp(
        program.objective,
        integrality=1,
        bounds=(program.bounds[0], program.bounds[1]),
        constraints=constraints,
    )
    if done.x is None:
        return None
    images = np.zeros(len(ORDER), dtype=np.int64)
    images[strengths] = np.round(done.x).astype(np.int64).reshape(2, -1).sum(axis=0)
    images[MASK] = masks
    return images


def around(problem: Problem, masks: int, grid: np.ndarray) -> np.ndarray:
    """Numbers of masks between the grid's neighbours of one of its points."""
    index = int(np.searchsorted(grid, masks))
    low, high = grid[max(index - 1, 0)], grid[min(index + 1, len(grid) - 1)]
    dense = np.linspace(low, high, min(_REFINED, int(high - low) + 1)).round().astype(np.int64)
    return np.unique(np.append(dense, masks))
