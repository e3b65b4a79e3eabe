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
    """Images per type, (5,) int64: the strongest weak type on all images, masks with what is left.

    Raises:
        InputError: if the budget does not reach for any policy.
    """
    require_affordable(problem, budget_seconds)
    limits = {kind: hours * SECONDS_PER_HOUR for kind, hours in (max_hours or {}).items()}

    def most(strength: int, seconds: float) -> int:
        """Images that so many seconds and the type's own hours pay for."""
        each = float(problem.seconds[strength])
        spendable = min(seconds, limits.get(ORDER[strength], np.inf))
        return problem.images if each <= 0 else int(min(spendable / each + 1e-9, problem.images))

    affordable = [s for s in problem.strengths if most(s, budget_seconds) >= problem.images]
    weak = int(max(affordable, default=problem.strengths[problem.weak_seconds.argmin()]))
    masks = 0
    if problem.masks_allowed:
        dearer = float(problem.seconds[MASK] - problem.seconds[weak])
        left = budget_seconds - problem.images * float(problem.seconds[weak])
        raised = problem.images if dearer <= 0 else int(max(left, 0.0) / dearer + 1e-9)
        masks = min(raised, most(MASK, np.inf))
    images = np.zeros(len(ORDER), dtype=np.int64)
    images[weak] = problem.images - masks
    images[MASK] = masks
    return images
