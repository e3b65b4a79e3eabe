"""The one-line rule that a plan has to beat: the strongest affordable type, the rest on masks."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from omnicost.annotation import AnnotationType
from omnicost.cost import ORDER, SECONDS_PER_HOUR
from omnicost.plan.optimise import MASK, Problem, require_affordable


def strongest_affordable(
    problem: Problem,
    budget_seconds: float,
    max_hours: Mapping[AnnotationType, float] | None = None,
) -> np.ndarray:
    """Images per type, (T,) int64: the strongest weak type on all images, masks with what is left.

    Labels in hand that are stronger are kept.

    Raises:
        InputError: if the budget does not reach for any policy.
    """
    if problem.in_hand is None:
        require_affordable(problem, budget_seconds)
    allowed = np.full(len(ORDER), np.inf)
    for annotation, hours in (max_hours or {}).items():
        allowed[annotation.strength] = hours * SECONDS_PER_HOUR

    def fits(images: np.ndarray) -> bool:
        within = problem.new_labels(images) * problem.seconds <= allowed * (1 + 1e-9)
        return bool(within.all() and problem.cost(images) <= budget_seconds * (1 + 1e-9))

    everywhere = [_on_all(problem, int(one)) for one in problem.strengths]
    affordable = [images for images in everywhere if fits(images)]
    cheapest = everywhere[int(np.argmin([problem.cost(images) for images in everywhere]))]
    images = affordable[-1] if affordable else cheapest
    weak = int(np.flatnonzero(images[:MASK])[0]) if images[:MASK].any() else MASK
    low, high = 0, int(images[weak]) if problem.masks_allowed and weak != MASK else 0
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(_raised(images, weak, middle)) else (low, middle - 1)
    return _raised(images, weak, low)


def _on_all(problem: Problem, weak: int) -> np.ndarray:
    """One type on all images but those that have a stronger label in hand: (T,)."""
    images = np.where(np.arange(len(ORDER)) > weak, problem.held, 0)
    images[weak] = problem.images - images.sum()
    return images


def _raised(images: np.ndarray, weak: int, count: int) -> np.ndarray:
    """The same with masks on so many of the images of one type."""
    raised = images.copy()
    raised[weak] -= count
    raised[MASK] += count
    return raised
