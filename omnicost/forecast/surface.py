"""The AP surface: what each weak type is worth beside a number of masks, a mean and draws of it.

With masks on a share f of the images and a weak type t on the rest,

    AP / AP of full supervision = f + (1 - f) * worth_t(m),    m = f * images,

where worth_t(m) is what an image of that type is worth to the student, 1 being a masked image. It
is indexed by the number of masks, since that is what the teacher learns from; the share enters
through the masked images that the student sees itself. No order between types is imposed, and worth
need not rise with masks: a teacher tuned on few may be worse than a released one. Between none and
the fewest masks that a teacher was tuned on, nobody knows, and that risk is priced.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from omnicost.annotation import WEAK_TYPES, AnnotationType
from omnicost.errors import InputError
from omnicost.forecast.model import axis, forecast
from omnicost.forecast.observations import Observations
from omnicost.forecast.prior import Shape

HARM_SD: Final = 0.1
"""Worth that tuning a teacher on next to no masks may cost: half-normal, so 0.08 on average,
falling to 0 at the fewest that were tried. Tiny teachers tuned on eight pictures lost 3 to 5 of 70
to 77 mIoU (LOG.md, 2026-11-22)."""
_KNOT_RATIO: Final = 4.0


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
        run_draws: (D,) scatter of one student around its expectation, as a part of full.
        misfit_draws: (D, T) the model being wrong about a policy, as a part of full.
    """

    types: tuple[AnnotationType, ...]
    knots: np.ndarray
    worth: np.ndarray
    worth_draws: np.ndarray
    full: float | None
    full_draws: np.ndarray
    scale: float
    run_draws: np.ndarray
    misfit_draws: np.ndarray

    def at(self, masks: np.ndarray | float) -> np.ndarray:
        """Mean worth beside so many masks: (T, ...) from (...)."""
        return interpolate(self.knots, self.worth, np.asarray(masks, float))

    def draws_at(self, masks: np.ndarray | float) -> np.ndarray:
        """Draws of the worth beside so many masks: (D, T, ...) from (...)."""
        return interpolate(self.knots, self.worth_draws, np.asarray(masks, float))

    def restricted(self, types: Sequence[AnnotationType]) -> Surface:
        """The same surface with only some of its weak types."""
        kept = [index for index, one in enumerate(self.types) if one in types]
        return replace(
            self,
            types=tuple(self.types[index] for index in kept),
            worth=self.worth[kept],
            worth_draws=self.worth_draws[:, kept],
            misfit_draws=self.misfit_draws[:, kept],
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
    *,
    others: Sequence[Observations] = (),
) -> Surface:
    """The surface of one data set and draws of it.

    Args:
        rows: its measured students.
        shape: what other data sets suggest about the curves.
        rng: source of the draws.
        draws: how many.
        largest: most masks that will be asked for; the data set's own images count anyway.
        others: runs of other data sets, whose repeats tell about the scatter of runs.

    Raises:
        InputError: if no row has a weak type, or none has masks on every image.
    """
    if not rows.types:
        raise InputError("results", f"{rows.dataset} has no weak type", "run cells under 100%")
    if not rows.is_full.any():
        remedy = "add its 100% cell, or plan with `like`"
        raise InputError("results", f"{rows.dataset} has no student on all masks", remedy)
    knots = knots_for(rows.tuned_masks, max(largest, rows.images))
    weak = np.array([WEAK_TYPES.index(one) for one in rows.types])
    points = np.repeat(weak, len(knots)), np.tile(knots, len(weak))
    drawn = forecast(rows, shape, *points, rng, draws, others)
    full = np.maximum(drawn.full, 1e-3)
    lacking = drawn.lacking.reshape(draws, len(weak), len(knots))
    fewest = rows.tuned_masks.min(initial=rows.images)
    lacking += full[:, None, None] * harm(knots, fewest, rng, draws)[:, None]
    lacking = np.clip(lacking, 0.0, full[:, None, None])
    mean_full = float(full.mean())
    return Surface(
        types=rows.types,
        knots=knots,
        # Mean AP is mean full AP less mean deficit, so worth is their ratio, not a mean of ratios.
        worth=1 - lacking.mean(axis=0) / mean_full,
        worth_draws=1 - lacking / full[:, None, None],
        full=mean_full,
        full_draws=full,
        scale=mean_full,
        run_draws=drawn.run / mean_full,
        misfit_draws=drawn.misfit[:, weak] / mean_full,
    )


def harm(masks: np.ndarray, fewest: float, rng: np.random.Generator, draws: int) -> np.ndarray:
    """Worth that tuning on fewer masks than anybody tried may cost: (draws, M) from (M,)."""
    untried = np.where(masks > 0, np.maximum(1 - axis(masks) / axis(fewest), 0.0), 0.0)
    return HARM_SD * np.abs(rng.standard_normal((draws, 1))) * untried


def knots_for(measured: np.ndarray, largest: int) -> np.ndarray:
    """Zero, one, the numbers of masks measured, and a geometric grid between and beyond them."""
    largest = max(largest, 16)
    count = int(np.ceil(np.log(largest) / np.log(_KNOT_RATIO))) + 1
    grid = np.geomspace(1.0, largest, count)
    near = np.abs(np.log(grid[1:-1, None] / measured)) < np.log(_KNOT_RATIO) / 3
    inner = grid[1:-1][~near.any(axis=1)]
    return np.unique(np.concatenate([[0.0, 1.0, largest], measured, inner]))
