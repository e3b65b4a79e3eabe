"""The AP surface: what each weak type is worth beside a number of masks, smoothed and drawn.

With masks on a share f of the images and a weak type t on the rest,

    AP / AP of full supervision = f + (1 - f) * worth_t(m),    m = f * images,

where worth_t(m) is what an image of that type is worth to the student, 1 being a masked image. It
is indexed by the number of masks, since that is what the teacher learns from; the share enters
through the masked images that the student sees itself. worth_t is non-decreasing and concave in
log(1 + m / 30), so AP is non-decreasing and concave in the mask share, and f = 1 is the common end
of all types. No order between types is imposed.

The fit is a least-squares problem in non-negative coefficients (each hinge bends the curve in the
one allowed way), solved exactly. Draws perturb the rows and the prior by their noise and solve
again ("randomise, then optimise"), so each draw obeys the law.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.optimize import nnls

from omnicost.annotation import WEAK_TYPES, AnnotationType
from omnicost.errors import InputError
from omnicost.plan.observations import Observations
from omnicost.plan.prior import Shape

MASK_SCALE: Final = 30.0
"""Masks per unit at the foot of the logarithmic axis; about Cityscapes' 1%."""
SHAPE_SD: Final = 0.1
"""How far a curve strays from the learned shape over one unit of the axis, as a part of its
deficit; chosen by leave-one-cell-out."""
_KNOT_RATIO: Final = 4.0


def axis(masks: np.ndarray | float) -> np.ndarray:
    """Numbers of masks on the axis on which curves are concave: log(1 + m / 30)."""
    return np.log1p(np.asarray(masks, float) / MASK_SCALE)


@dataclass(frozen=True)
class Surface:
    """Worth of an image of each weak type beside so many masks: a mean and draws of it.

    Attributes:
        types: the T weak types, weakest first.
        knots: (K,) numbers of masks, from 0 up.
        worth: (T, K) posterior mean, 1 being a masked image.
        worth_draws: (D, T, K).
        full: posterior mean of the AP of full supervision, percent; None where nobody measured it.
        full_draws: (D,) of it, percent; all `scale` where there is none.
        scale: AP points that a share of 1 stands for: `full`, or that of like data sets.
        noise_sd: standard deviation of AP between seeds as a part of full supervision.
        tested_masks: (T,) most masks that a student of each type was measured with.
    """

    types: tuple[AnnotationType, ...]
    knots: np.ndarray
    worth: np.ndarray
    worth_draws: np.ndarray
    full: float | None
    full_draws: np.ndarray
    scale: float
    noise_sd: float
    tested_masks: np.ndarray

    def at(self, masks: np.ndarray | float) -> np.ndarray:
        """Mean worth beside so many masks: (T, ...) from (...)."""
        return interpolate(self.knots, self.worth, np.asarray(masks, float))

    def draws_at(self, masks: np.ndarray | float) -> np.ndarray:
        """Draws of the worth beside so many masks: (D, T, ...) from (...)."""
        return interpolate(self.knots, self.worth_draws, np.asarray(masks, float))

    def share_of_full(self, kind: AnnotationType, masks: float, images: int) -> float:
        """Expected AP as a share of full supervision of a two-type policy."""
        share = masks / images
        return float(share + (1 - share) * self.at(masks)[self.types.index(kind)])

    def restricted(self, types: Sequence[AnnotationType]) -> Surface:
        """The same surface with only some of its weak types."""
        kept = [index for index, kind in enumerate(self.types) if kind in types]
        return Surface(
            types=tuple(self.types[index] for index in kept),
            knots=self.knots,
            worth=self.worth[kept],
            worth_draws=self.worth_draws[:, kept],
            full=self.full,
            full_draws=self.full_draws,
            scale=self.scale,
            noise_sd=self.noise_sd,
            tested_masks=self.tested_masks[kept],
        )


def interpolate(knots: np.ndarray, curves: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Curves (..., K) read at any masks: (..., *masks.shape); linear on the axis, then flat."""
    position = np.interp(axis(masks), axis(knots), np.arange(len(knots)))
    left = np.minimum(position.astype(int), len(knots) - 2)
    part = position - left
    return curves[..., left] * (1 - part) + curves[..., left + 1] * part


def fit_surface(
    rows: Observations,
    shape: Shape,
    rng: np.random.Generator,
    draws: int = 1000,
    largest: int = 0,
    full_required: bool = True,
) -> Surface:
    """The smoothed surface of one data set and draws of it.

    Args:
        rows: its measured students.
        shape: what other data sets suggest about the curves.
        rng: source of the draws.
        draws: how many.
        largest: most masks that will be asked for; the data set's own images count anyway.
        full_required: refuse rows of which none has masks on every image; without one, full
            supervision is inferred from the shape of the curves alone.

    Raises:
        InputError: if no row has a weak type, or none has masks on every image.
    """
    if not rows.types:
        raise InputError("results", f"{rows.dataset} has no weak type", "run cells under 100%")
    if full_required and not rows.is_full.any():
        remedy = "add its 100% cell, or plan with --like"
        raise InputError("results", f"{rows.dataset} has no student on all masks", remedy)
    problem = _Problem(rows, shape, max(largest, rows.images))
    solutions = problem.solve_draws(rng, draws)
    full = np.maximum(solutions[:, 0], 1e-6)
    deficits = problem.deficits(solutions)
    mean_full = float(full.mean())
    worth_draws = 1 - np.minimum(deficits / full[:, None, None], 1.0)
    return Surface(
        types=problem.types,
        knots=problem.knots,
        # Mean AP is mean full AP less mean deficit, so worth is their ratio, not a mean of ratios.
        worth=1 - np.minimum(deficits.mean(axis=0) / mean_full, 1.0),
        worth_draws=worth_draws,
        full=mean_full,
        full_draws=full,
        scale=mean_full,
        noise_sd=rows.noise_sd / mean_full,
        tested_masks=problem.tested_masks(),
    )


class _Problem:
    """The least-squares problem: rows over noise on top, the prior's rows below.

    Unknowns, all non-negative: the AP of full supervision, then per type the AP that is lacking at
    the most masks and one hinge a knot. Deficit_t(v) = base + sum_k hinge_k * max(v_k - v, 0) is
    non-negative, non-increasing and convex on the axis v.
    """

    def __init__(self, rows: Observations, shape: Shape, largest: int) -> None:
        self.rows = rows
        self.types = rows.types
        self.knots = _knots(rows, largest)
        self._axis = axis(self.knots)
        self._basis = _hinges(self._axis, self._axis[1:])
        self._size = self._basis.shape[1]
        blocks = [self._row_block(), self._shape_block(shape)]
        self._design = np.concatenate([block[0] for block in blocks])
        self._target = np.concatenate([block[1] for block in blocks])

    def solve_draws(self, rng: np.random.Generator, draws: int) -> np.ndarray:
        """Solutions of the perturbed problem: (draws, unknowns)."""
        noise = rng.standard_normal((draws, len(self._target)))
        limit = 50 * self._design.shape[1]
        return np.stack([nnls(self._design, self._target + one, maxiter=limit)[0] for one in noise])

    def deficits(self, solutions: np.ndarray) -> np.ndarray:
        """AP that each type lacks at each knot: (draws, types, knots)."""
        coefficients = solutions[:, 1:].reshape(len(solutions), len(self.types), self._size)
        return coefficients @ self._basis.T

    def tested_masks(self) -> np.ndarray:
        """Most masks that a student of each type was measured with: (types,)."""
        own = [self.rows.masks[self.rows.kind == WEAK_TYPES.index(kind)] for kind in self.types]
        return np.array([masks.max(initial=0.0) for masks in own])

    def _columns(self, position: int) -> slice:
        return slice(1 + position * self._size, 1 + (position + 1) * self._size)

    def _empty(self, count: int) -> np.ndarray:
        return np.zeros((count, 1 + len(self.types) * self._size))

    def _row_block(self) -> tuple[np.ndarray, np.ndarray]:
        rows, design = self.rows, self._empty(len(self.rows.ap))
        design[:, 0] = 1
        hinges = _hinges(axis(rows.masks), self._axis[1:])
        for position, kind in enumerate(self.types):
            own = rows.kind == WEAK_TYPES.index(kind)
            design[own, self._columns(position)] = -(1 - rows.share[own, None]) * hinges[own]
        return design / rows.noise_sd, rows.ap / rows.noise_sd

    def _shape_block(self, shape: Shape) -> tuple[np.ndarray, np.ndarray]:
        """From knot to knot each deficit shrinks as the learned shape does, give or take."""
        blocks = []
        spread = SHAPE_SD * np.sqrt(np.diff(self._axis))
        for position, kind in enumerate(self.types):
            left = shape.remaining(self.knots)[WEAK_TYPES.index(kind)]
            block = self._empty(len(spread))
            ratio = left[1:] / np.maximum(left[:-1], 1e-9)
            steps = self._basis[1:] - ratio[:, None] * self._basis[:-1]
            block[:, self._columns(position)] = steps / (spread * self._scale(kind))[:, None]
            blocks.append(block)
        design = np.concatenate(blocks)
        return design, np.zeros(len(design))

    def _scale(self, kind: AnnotationType) -> float:
        """Order of magnitude of a type's deficit in AP, never under twice the seed noise."""
        own = self.rows.ap[self.rows.kind == WEAK_TYPES.index(kind)]
        return float(self.rows.ap.max() - own.min() + 2 * self.rows.noise_sd)


def _hinges(position: np.ndarray, knots: np.ndarray) -> np.ndarray:
    """A constant and one hinge a knot: (N, 1 + knots)."""
    hinges = np.maximum(knots[None, :] - np.atleast_1d(position)[:, None], 0.0)
    return np.concatenate([np.ones((len(hinges), 1)), hinges], axis=1)


def _knots(rows: Observations, largest: int) -> np.ndarray:
    """Zero, the numbers of masks in the rows, and a geometric grid between and beyond them."""
    measured = np.unique(rows.masks[~rows.is_full & (rows.masks > 0)])
    count = max(2, int(np.ceil(np.log(max(largest, 16) / 10.0) / np.log(_KNOT_RATIO))) + 1)
    grid = np.geomspace(10.0, max(largest, 40), count)
    far = [m for m in grid if not (np.abs(np.log(m / measured)) < np.log(_KNOT_RATIO) / 3).any()]
    return np.unique(np.concatenate([[0.0], measured, far]))
