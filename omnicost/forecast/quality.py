"""A surface without a student: what pseudo-masks are worth, from how good they are.

    worth of a pseudo-labelled image = F1 ** g,

F1 being that of its masks at IoU 0.5. Students that start whole gave g = 0.35 to 0.42 on three tiny
worlds, each foretold from the others to 0.02, and 0.58 on an earlier demo; students of a fresh
head, trained ten times as long, 0.98 (analysis/README.md, LOG.md). So g depends on how students
are trained: it is drawn once for all cells of a project, widely enough for all of these, and each
cell misses by itself as well. Beyond the most masks that a teacher was tuned on, what is lacking
falls as it does on the paper's data sets.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from omnicost.annotation import WEAK_TYPES, AnnotationType, Policy
from omnicost.errors import InputError
from omnicost.forecast.model import axis
from omnicost.forecast.prior import Shape
from omnicost.forecast.surface import Surface, harm, knots_for
from omnicost.results import SMOKE, TeacherRow

_EXPONENT: Final = (0.58, 0.6)
"""Median of g, and standard deviation of its log between projects."""
_CELL_SD: Final = 0.03
"""How far a cell's worth misses besides."""
_STRAY: Final = 0.2
"""Standard deviation of the log of what is lacking, a unit of the axis beyond what was tried."""
_RUN_SD: Final = 0.02
"""Scatter of one student as a part of full supervision; about 0.7 AP of 35."""
_LEAST_F1: Final = 0.01


class Quality(NamedTuple):
    """F1 of the pseudo-masks of one annotation type beside some numbers of masks, ascending."""

    masks: np.ndarray
    f1: np.ndarray


def qualities(rows: Sequence[TeacherRow]) -> dict[AnnotationType, Quality]:
    """Mean F1 over seeds, by weak type.

    Raises:
        InputError: if the rows are of a smoke run, of several data sets or variants, or tell no F1
            and masks.
    """
    if any(row.schedule == SMOKE for row in rows):
        problem = "rows of teachers are of a smoke run: a few steps, no measurement"
        raise InputError("`results`", problem, "run omnicost sweep --teacher-only without --smoke")
    for field in ("dataset", "variant", "config_hash"):
        values = sorted({str(getattr(row, field)) for row in rows})
        if len(values) > 1:
            problem = f"rows of teachers mix {field} {', '.join(value[:12] for value in values)}"
            raise InputError("`results`", problem, "keep the rows of one card and variant")
    told = [row for row in rows if row.f1 is not None and row.images is not None]
    if not told:
        problem = "no row of a teacher has F1 and the number of images"
        raise InputError("`results`", problem, "run omnicost sweep --teacher-only again")
    if not any(row.f1 for row in told):
        problem = "F1 is 0 in every row: no pseudo-mask is like a true one"
        raise InputError("`results`", problem, "look at them with omnicost plot masks")
    found: dict[AnnotationType, dict[float, list[float]]] = {}
    for row in told:
        masks = Policy.of(row.policy).mask_share * (row.images or 0)
        by_masks = found.setdefault(AnnotationType.parse(row.annotation), {})
        by_masks.setdefault(float(round(masks)), []).append((row.f1 or 0) / 100)
    return {
        weak: Quality(
            np.array(sorted(found[weak])),
            np.array([np.mean(found[weak][masks]) for masks in sorted(found[weak])]),
        )
        for weak in WEAK_TYPES
        if weak in found
    }


def worth_draws(f1: float, rng: np.random.Generator, draws: int = 1000) -> np.ndarray:
    """Draws of the worth of an image whose pseudo-masks have that F1, in [0, 1]: (draws,)."""
    median, log_sd = _EXPONENT
    exponent = median * np.exp(log_sd * rng.standard_normal(draws))
    drawn = np.exp(exponent * np.log(max(f1, _LEAST_F1))) + _CELL_SD * rng.standard_normal(draws)
    return np.clip(drawn, 0.0, 1.0)


def f1_for(worth: float) -> float:
    """The F1 that is expected to be worth that much, in [0, 1]."""
    return float(worth ** (1 / _EXPONENT[0]))


def surface_of_quality(
    found: dict[AnnotationType, Quality],
    shape: Shape,
    images: int,
    scale: float,
    rng: np.random.Generator,
    draws: int = 1000,
) -> Surface:
    """The surface of a project whose pseudo-masks were measured, in shares of its full supervision.

    Args:
        found: quality by weak type.
        shape: how what is lacking falls with masks beyond those that were tried.
        images: most masks that will be asked for.
        scale: AP that a share of 1 stands for, where points of AP are shown.
        rng: source of the draws.
        draws: how many.
    """
    tuned = np.unique(np.concatenate([one.masks for one in found.values()]))
    tuned = tuned[tuned > 0]
    knots = knots_for(tuned, images)
    median, log_sd = _EXPONENT
    exponent = median * np.exp(log_sd * rng.standard_normal((draws, 1)))
    harmed = harm(knots, float(tuned.min(initial=images)), rng, draws)
    curves = []
    for weak, one in found.items():
        last = one.masks[-1]
        log_f1 = np.log(np.maximum(np.interp(axis(knots), axis(one.masks), one.f1), _LEAST_F1))
        worth = np.exp(exponent * log_f1) + _CELL_SD * rng.standard_normal((draws, 1))
        left = shape.remaining(np.append(knots, last))[WEAK_TYPES.index(weak)]
        beyond = np.sqrt(np.maximum(axis(knots) - axis(last), 0.0))
        fall = np.where(knots > last, left[:-1] / max(float(left[-1]), 1e-9), 1.0)
        stray = np.exp(_STRAY * beyond * rng.standard_normal((draws, 1)))
        curves.append(1 - (1 - worth) * fall * stray - harmed)
    drawn = np.clip(np.stack(curves, axis=1), 0.0, 1.0)
    return Surface(
        types=tuple(found),
        knots=knots,
        worth=drawn.mean(axis=0),
        worth_draws=drawn,
        full=None,
        full_draws=np.full(draws, scale),
        scale=scale,
        run_draws=_RUN_SD * rng.standard_normal(draws),
        misfit_draws=np.zeros((draws, len(found))),
    )
