"""How fast masks make up for weak labels, learned from other data sets.

What a pseudo-labelled image still lacks after its teacher was tuned on m masks, as a part of what
it lacked before, is ``1 - a * m / (m + h)``: `a` is how much tuning can make up for at most, `h`
the number of masks that makes up for half of it. Both are averaged over a grid, weighted by how
well they explain the other data sets' students.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from omnicost.annotation import WEAK_TYPES
from omnicost.forecast.observations import Observations

_CEILINGS: Final = np.linspace(0.0, 1.0, 41)[:, None]
_HALF_MASKS: Final = np.geomspace(10.0, 3000.0, 25)[None, :]
# Data sets differ in shape by about this part of the deficit at no masks; chosen by leaving out
# cells of Table 2 (analysis/planner/leave_one_cell_out.py).
_BETWEEN_DATASETS: Final = 0.2
_RUN_SD: Final = 0.4
"""Standard deviation of AP between runs of the published schedules that shapes are learned from."""


@dataclass(frozen=True)
class Shape:
    """Posterior weights of (a, h) for each weak type: (types, A, H), adding to 1 over A and H."""

    weights: np.ndarray

    def remaining(self, masks: np.ndarray) -> np.ndarray:
        """Expected part of the deficit that remains after m masks: (types, M)."""
        left = _remaining(np.asarray(masks, float))
        return np.einsum("tah,ahm->tm", self.weights, left)


def learn_shape(references: Sequence[Observations]) -> Shape:
    """The shape that other data sets' students suggest; flat over (a, h) without any."""
    log_weight = np.zeros((len(WEAK_TYPES), len(_CEILINGS), _HALF_MASKS.shape[1]))
    for reference in references:
        if reference.is_full.any():
            for index in range(len(WEAK_TYPES)):
                log_weight[index] += _log_likelihood(reference, index)
    weight = np.exp(log_weight - log_weight.max(axis=(1, 2), keepdims=True))
    return Shape(weight / weight.sum(axis=(1, 2), keepdims=True))


def _log_likelihood(reference: Observations, index: int) -> np.ndarray | float:
    """Log-likelihood of (a, h), the deficit at no masks fitted by least squares: (A, H)."""
    own = reference.weak == index
    if not own.any():
        return 0.0
    deficit = reference.ap[reference.is_full].mean() - reference.ap[own]
    design = (1 - reference.share[own]) * _remaining(reference.masks[own])
    scale = (design * deficit).sum(-1) / np.maximum((design**2).sum(-1), 1e-12)
    variance = 2 * _RUN_SD**2 + (_BETWEEN_DATASETS * deficit.max()) ** 2
    misfit: np.ndarray = ((deficit - scale[..., None] * design) ** 2).sum(-1)
    return -misfit / (2 * variance)


def _remaining(masks: np.ndarray) -> np.ndarray:
    return 1 - _CEILINGS[..., None] * masks / (masks + _HALF_MASKS[..., None])
