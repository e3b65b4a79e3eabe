"""The one-line rule that a plan has to beat: the strongest affordable type, the rest on masks."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from omnicost.annotation import AnnotationType
from omnicost.cost import ORDER
from omnicost.errors import InputError
from omnicost.plan.optimise import MASK, Problem, require_affordable


def strongest_affordable(
    problem: Problem, budget_seconds: float, max_hours: Mapping[AnnotationType, float] | None = None
) -> np.ndarray:
    """Images per type, (T,) int64: the strongest weak type on all images, masks with what is left.

    Labels in hand that are stronger are kept.

    Raises:
        InputError: if the budget or the hours do not reach for any policy.
    """
    if problem.in_hand is None:
        require_affordable(problem, budget_seconds)

    def fits(images: np.ndarray) -> np.ndarray:
        within: np.ndarray = problem.cost(images) <= budget_seconds * (1 + 1e-9)
        return within & problem.keeps(images, max_hours or {})

    everywhere = np.stack([_on_all(problem, int(one)) for one in problem.strengths])
    affordable = everywhere[fits(everywhere)]
    images = affordable[-1] if len(affordable) else everywhere[problem.cost(everywhere).argmin()]
    weak = int(np.flatnonzero(images[:MASK])[0]) if images[:MASK].any() else MASK
    most = int(images[weak]) if problem.masks_allowed and weak != MASK else 0
    # Every number of masks: beside few of them, a limited type may not do for the rest.
    masks = np.arange(most + 1)
    raised = np.tile(images, (len(masks), 1))
    raised[:, weak] -= masks
    raised[:, MASK] += masks
    kept = raised[fits(raised)]
    if not len(kept):
        where = "`max_hours`" if max_hours else "`budget`"
        raise InputError(where, "no type fits on all images", "raise it, or allow more types")
    best: np.ndarray = kept[-1]
    return best


def _on_all(problem: Problem, weak: int) -> np.ndarray:
    """One type on all images but those that have a stronger label in hand: (T,)."""
    images = np.where(np.arange(len(ORDER)) > weak, problem.held, 0)
    images[weak] = problem.images - images.sum()
    return images
