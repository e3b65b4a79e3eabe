"""The statistical model behind a surface: what AP students of a data set will have, and how sure.

    AP = F - (1 - f) * D_t(m) + misfit + run

F is the AP of full supervision, D_t(m) what images of weak type t lack beside m masks. D_t starts
at a level of its own and falls with m as a *shape* says, from which it strays as a Brownian motion
in log(1 + m / 30), partly common to all types. The shape is that of the paper's data sets or a
straight line that ends at some part of where it began, so that other recipes may leave the paper's.
A teacher that is not tuned (m = 0) is a regime of its own: it differs from the curve by a jump.
*misfit* is the model being wrong about a cell; repeats do not reduce it. *run* is the scatter of
students.

For each combination of shape, strayings, misfit and scatter on a grid, all of it is Gaussian and
solved exactly. A combination weighs by its prior, by how well each cell is predicted from the
others (leave one out, in closed form: Rasmussen and Williams 2006, 5.4.2), and by the repeats.
Draws pick a combination, then draw from its posterior; so an interval holds what is not known of
the scatter and of the shape, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from scipy.stats import t as student_t

from omnicost.annotation import WEAK_TYPES
from omnicost.forecast.observations import Observations
from omnicost.forecast.prior import Shape
from omnicost.forecast.spread import COMMON, OWN, log_weights

MASK_SCALE: Final = 30.0
"""Masks per unit at the foot of the logarithmic axis; about Cityscapes' 1%."""
# The figures below are parts of F, or of the largest deficit of a type. Chosen on Table 2 and on
# the published series, one cell left out; coverage and error there move little between their
# halves and doubles (analysis/planner/leave_one_cell_out.py).
_FULL: Final = (1.05, 0.25)
"""Mean and standard deviation of F over the largest AP that was measured."""
_LEVEL: Final = (0.4, 0.4)
"""The same of D_t where its curve begins."""
_STRAY: Final = np.array([0.05, 0.1, 0.2, 0.4])
"""Standard deviations of the straying over one unit of the axis."""
_STRAY_COMMON: Final = 0.4
"""Part of its variance that is common to all types."""
_MISFIT: Final = np.array([0.01, 0.03, 0.1])
_JUMP: Final = 0.1
"""Standard deviation of the jump at no masks."""
_ENDS: Final = (0.0, 0.25, 0.5, 0.75, 1.0)
"""What is left of D_t at masks on all images, on the straight shapes."""
_LEARNED: Final = 0.7
"""Prior weight of the shape that the paper's data sets suggest."""
_LEAST_DEFICIT: Final = 0.1
_UNMEASURED_DEFICIT: Final = 0.4
_TAILS: Final = 5.0
"""Degrees of freedom of a run's scatter."""


class Forecast(NamedTuple):
    """Draws of what was not measured, in percent of AP, D draws.

    Attributes:
        full: (D,) F.
        lacking: (D, P) D_t(m) at the points asked for.
        run: (D,) scatter of one student around its expectation.
        misfit: (D, W) the model being wrong about a cell of each of `WEAK_TYPES`, all in one
            direction.
    """

    full: np.ndarray
    lacking: np.ndarray
    run: np.ndarray
    misfit: np.ndarray


def axis(masks: np.ndarray | float) -> np.ndarray:
    """Numbers of masks on the axis of the curves: log(1 + m / 30)."""
    return np.log1p(np.asarray(masks, float) / MASK_SCALE)


def forecast(
    rows: Observations,
    shape: Shape,
    weak: np.ndarray,
    masks: np.ndarray,
    rng: np.random.Generator,
    draws: int = 1000,
    others: Sequence[Observations] = (),
) -> Forecast:
    """Draws at points (weak type, number of masks), from measured students of the data set.

    Args:
        rows: the students.
        shape: what other data sets suggest about the curves.
        weak: (P,) indices into `WEAK_TYPES`.
        masks: (P,) numbers of masks.
        rng: source of the draws.
        draws: how many.
        others: runs of other data sets, whose repeats tell about the scatter.
    """
    model = _Model(rows, shape, weak, masks)
    grid = _grid(model, log_weights(rows, others))
    picks = rng.choice(len(grid.weight), draws, p=grid.weight)
    latent = _posterior_draws(model, grid, picks, rng)
    scatter = student_t.rvs(_TAILS, size=draws, random_state=rng) * np.sqrt(1 - 2 / _TAILS)
    wrong = _MISFIT[grid.misfit[picks]] * rng.standard_normal(draws)
    return Forecast(
        full=model.unit * latent[:, 0],
        lacking=model.unit * latent[:, 1:],
        run=grid.scatter[picks] * scatter,
        misfit=model.unit * wrong[:, None] * model.deficits,
    )


class _Model:
    """Covariances between the cells (C of them) and the points asked for (P), AP over `unit`.

    Points come after the cells on the axis of N = C + P. What depends on the shape has S rows.
    """

    def __init__(
        self, rows: Observations, shape: Shape, weak: np.ndarray, masks: np.ndarray
    ) -> None:
        cells = rows.cells
        self.cells = cells
        self.unit = max(float(cells.ap.max()), 1e-6)
        self.ap = cells.ap / self.unit
        self.deficits = _deficits(cells.weak, self.ap)
        # A student on all masks lacks nothing, whatever type it is given here.
        self.lacks = np.where(cells.weak < 0, 0.0, 1 - cells.share)
        self.weak = np.concatenate([np.maximum(cells.weak, 0), weak])
        self.masks = np.concatenate([cells.masks, masks])
        self.left, self.log_prior = _shapes(shape, self.weak, self.masks, rows.images)
        self.mean = _LEVEL[0] * self.left  # of D, on each shape: (S, N)
        same = self.weak[:, None] == self.weak
        size = self.deficits[self.weak]
        position = axis(self.masks)
        near = np.minimum(position[:, None], position) * np.outer(size, size)
        self.stray = near * np.where(same, 1.0, _STRAY_COMMON)
        untuned = (self.masks == 0) * size * _JUMP
        self.level = _LEVEL[1] ** 2 * same
        self.jump = np.outer(untuned, untuned) * same
        self.wrong = np.diag((self.lacks * size[: len(self.ap)]) ** 2)

    def lacking(self, shape: int, stray: float) -> np.ndarray:
        """Prior covariance of D between all cells and points: (N, N)."""
        left = self.left[shape]
        total: np.ndarray = self.level * np.outer(left, left) + stray**2 * self.stray + self.jump
        return total


def _deficits(weak: np.ndarray, ap: np.ndarray) -> np.ndarray:
    """Order of magnitude of what each of `WEAK_TYPES` lacks, over the largest AP: (W,)."""
    found = [
        1 - ap[weak == index].min() if (weak == index).any() else _UNMEASURED_DEFICIT
        for index in range(len(WEAK_TYPES))
    ]
    return np.clip(found, _LEAST_DEFICIT, 1.0)


def _shapes(
    shape: Shape, weak: np.ndarray, masks: np.ndarray, images: int
) -> tuple[np.ndarray, np.ndarray]:
    """What is left of D on each shape, (S, N), and the shapes' log prior weights, (S,)."""
    learned = shape.remaining(masks)[weak, np.arange(len(weak))]
    along = np.minimum(axis(masks) / float(axis(images)), 1.0)
    straight = [1 - (1 - end) * along for end in _ENDS]
    weights = np.array([_LEARNED, *[(1 - _LEARNED) / len(_ENDS)] * len(_ENDS)])
    return np.stack([learned, *straight]), np.log(weights)


class _Grid(NamedTuple):
    """H combinations: indices of their settings, what their cells say, and their weights."""

    shape: np.ndarray
    stray: np.ndarray
    misfit: np.ndarray
    scatter: np.ndarray
    """(H,) standard deviation of a run, percent."""
    weight: np.ndarray
    inverse: np.ndarray
    """(H, C, C) inverse covariance of the cells."""
    residual: np.ndarray
    """(H, C) cells less their prior mean."""


def _grid(model: _Model, log_scatter: np.ndarray) -> _Grid:
    count, cells = len(model.ap), model.cells
    tried = [len(model.left), len(_STRAY), len(_MISFIT), *log_scatter.shape]
    shape, stray, misfit, own, common = (one.ravel() for one in np.indices(tried))
    lacking = [[model.lacking(one, size) for size in _STRAY] for one in range(tried[0])]
    curves = np.outer(model.lacks, model.lacks) * np.array(lacking)[..., :count, :count]
    own_variance, common_variance = OWN[own] ** 2, COMMON[common] ** 2
    covariance = (
        _FULL[1] ** 2 + curves[shape, stray] + _MISFIT[misfit, None, None] ** 2 * model.wrong
    )
    covariance += (own_variance / model.unit**2)[:, None, None] * np.diag(1 / cells.runs)
    covariance += (common_variance / model.unit**2)[:, None, None] * cells.shared_seeds
    mean = _FULL[0] - model.lacks * model.mean[:, :count]
    residual = (model.ap - mean)[shape]
    inverse = np.linalg.inv(covariance)
    score = _leave_one_out(inverse, residual)
    score += model.log_prior[shape] + log_scatter[own, common]
    weight = np.exp(score - score.max())
    scatter = np.sqrt(own_variance + common_variance)
    return _Grid(shape, stray, misfit, scatter, weight / weight.sum(), inverse, residual)


def _leave_one_out(inverse: np.ndarray, residual: np.ndarray) -> np.ndarray:
    """Log-likelihood of each cell given all others, summed over the cells: (H,)."""
    solved = np.einsum("hij,hj->hi", inverse, residual)
    precision = np.einsum("hii->hi", inverse)
    total: np.ndarray = 0.5 * (np.log(precision) - solved**2 / precision).sum(axis=-1)
    return total


def _posterior_draws(
    model: _Model, grid: _Grid, picks: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Draws of F and of D at the points, each from its combination: (draws, 1 + P)."""
    count = len(model.ap)
    points = len(model.weak) - count
    normal = rng.standard_normal((len(picks), 1 + points))
    out = np.empty_like(normal)
    prior = np.zeros((1 + points, 1 + points))
    prior[0, 0] = _FULL[1] ** 2
    cross = np.full((1 + points, count), _FULL[1] ** 2)
    for one in np.unique(picks):
        own = picks == one
        lacking = model.lacking(grid.shape[one], _STRAY[grid.stray[one]])
        prior[1:, 1:] = lacking[count:, count:]
        cross[1:] = -lacking[count:, :count] * model.lacks
        gain = cross @ grid.inverse[one]
        mean = np.append(_FULL[0], model.mean[grid.shape[one], count:]) + gain @ grid.residual[one]
        values, vectors = np.linalg.eigh(prior - gain @ cross.T)
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        out[own] = mean + normal[own] @ root.T
    return out
