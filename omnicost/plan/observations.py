"""Rows of one data set as the arrays that a surface is fitted to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from omnicost.annotation import WEAK_TYPES, AnnotationType
from omnicost.errors import InputError
from omnicost.results import Row, require_one_recipe

PRIOR_NOISE_SD: Final = 0.4
"""Assumed standard deviation of AP between seeds of one cell, where rows have no repeats."""
PRIOR_WEIGHT: Final = 5.0
"""How many repeats the assumption counts for beside those that the rows have."""


@dataclass(frozen=True)
class Observations:
    """Measured students of one data set, one entry a student.

    Attributes:
        dataset: its name.
        images: training images of the data set.
        kind: (R,) index into `WEAK_TYPES`; -1 where every image has masks.
        masks: (R,) images with masks.
        share: (R,) masks over images.
        ap: (R,) percent.
        noise_sd: standard deviation of AP between seeds, percent.
        repeats: students beyond the first of their cell.
    """

    dataset: str
    images: int
    kind: np.ndarray
    masks: np.ndarray
    share: np.ndarray
    ap: np.ndarray
    noise_sd: float
    repeats: int = 0

    @property
    def is_full(self) -> np.ndarray:
        """Which students had masks on every image: (R,) bool."""
        return self.kind < 0

    @property
    def types(self) -> tuple[AnnotationType, ...]:
        """The weak types that were tried, weakest first."""
        return tuple(WEAK_TYPES[k] for k in sorted(set(self.kind[~self.is_full].tolist())))

    def without(self, index: int) -> Observations:
        """All but one student."""
        kept = np.arange(len(self.ap)) != index
        return replace(
            self,
            kind=self.kind[kept],
            masks=self.masks[kept],
            share=self.share[kept],
            ap=self.ap[kept],
        )


def observe(rows: Sequence[Row], where: object = "results") -> Observations:
    """The cells of one data set in rows of one recipe; mixtures of weak types are left out.

    Raises:
        InputError: if rows mix recipes or data sets, or none is a cell of the grid.
    """
    require_one_recipe(rows)
    names = sorted({row.dataset for row in rows})
    if len(names) > 1:
        raise InputError(where, f"rows are of {', '.join(names)}", "choose one with --dataset")
    cells = [row for row in rows if row.weak_type is not None or row.mask_share == 1]
    if not cells:
        raise InputError(where, "no row has one weak type or masks only", "give a sweep's rows")
    kind = [-1 if row.weak_type is None else WEAK_TYPES.index(row.weak_type) for row in cells]
    share = np.array([row.mask_share for row in cells])
    images = np.array([row.images for row in cells])
    ap = np.array([row.ap for row in cells])
    noise_sd, repeats = _noise_sd(np.array(kind), share, ap)
    return Observations(
        dataset=names[0],
        images=int(images.max()),
        kind=np.array(kind),
        # A full student counts its images: rows may round the share of the others.
        masks=np.where(share == 1, images, [row.masks for row in cells]).astype(float),
        share=share,
        ap=ap,
        noise_sd=noise_sd,
        repeats=repeats,
    )


def _noise_sd(kind: np.ndarray, share: np.ndarray, ap: np.ndarray) -> tuple[float, int]:
    """Seed noise pooled over repeated cells, the prior counted as `PRIOR_WEIGHT` repeats."""
    _, cell = np.unique(np.column_stack([kind, share]), axis=0, return_inverse=True)
    cell = cell.ravel()
    means = np.bincount(cell, ap) / np.bincount(cell)
    repeats = len(ap) - len(means)
    squares = ((ap - means[cell]) ** 2).sum()
    pooled = (PRIOR_WEIGHT * PRIOR_NOISE_SD**2 + squares) / (PRIOR_WEIGHT + repeats)
    return float(np.sqrt(pooled)), repeats
