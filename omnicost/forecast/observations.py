"""Rows of one data set as the arrays that a forecast is fitted to, and what may not be used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from omnicost.annotation import WEAK_TYPES, AnnotationType
from omnicost.errors import InputError
from omnicost.results import PUBLISHED, SMOKE, Row, require_one_variant


class Cells(NamedTuple):
    """Runs of the same labels taken together, C cells.

    Attributes:
        weak: (C,) index into `WEAK_TYPES`; -1 where every image has masks.
        masks, share: (C,) images with masks, and as a share of all.
        ap: (C,) mean over the runs, percent.
        runs: (C,) how many.
        shared_seeds: (C, C) covariance of the cells' means through an effect common to a seed,
            as a part of that effect's variance.
    """

    weak: np.ndarray
    masks: np.ndarray
    share: np.ndarray
    ap: np.ndarray
    runs: np.ndarray
    shared_seeds: np.ndarray


@dataclass(frozen=True)
class Observations:
    """Measured students of one data set, one entry a run.

    Attributes:
        dataset: its name.
        schedule: label of the students' schedule.
        images: training images of the data set.
        weak: (R,) index into `WEAK_TYPES`; -1 where every image has masks.
        masks: (R,) images with masks.
        share: (R,) masks over images.
        ap: (R,) percent.
        seed: (R,) of the run; below 0 where nobody named it.
    """

    dataset: str
    schedule: str
    images: int
    weak: np.ndarray
    masks: np.ndarray
    share: np.ndarray
    ap: np.ndarray
    seed: np.ndarray

    @property
    def is_full(self) -> np.ndarray:
        """Which students had masks on every image: (R,) bool."""
        return self.weak < 0

    @property
    def types(self) -> tuple[AnnotationType, ...]:
        """The weak types that were tried, weakest first."""
        return tuple(WEAK_TYPES[k] for k in sorted(set(self.weak[~self.is_full].tolist())))

    @property
    def tuned_masks(self) -> np.ndarray:
        """Numbers of masks, over none and under all images, that students had: ascending."""
        return np.unique(self.masks[~self.is_full & (self.masks > 0)])

    @property
    def repeats(self) -> int:
        """Runs beyond the first of their cell."""
        return len(self.ap) - len(self.cells.ap)

    @cached_property
    def cell(self) -> np.ndarray:
        """Index of each run's cell: (R,) int64."""
        labels = np.column_stack([self.weak, self.share])
        return np.unique(labels, axis=0, return_inverse=True)[1].ravel()

    @cached_property
    def cells(self) -> Cells:
        """The runs, those of the same labels taken together."""
        cell, first = self.cell, np.unique(self.cell, return_index=True)[1]
        runs = np.bincount(cell)
        seed = np.unique(self.seed, return_inverse=True)[1]
        part = np.zeros((len(runs), seed.max() + 1))
        np.add.at(part, (cell, seed), 1 / runs[cell])
        return Cells(
            weak=self.weak[first],
            masks=self.masks[first],
            share=self.share[first],
            ap=np.bincount(cell, self.ap) / runs,
            runs=runs,
            shared_seeds=part @ part.T,
        )

    def where(self, kept: np.ndarray) -> Observations:
        """Some of the runs, by a mask (R,) or by their indices."""
        names = ("weak", "masks", "share", "ap", "seed")
        return replace(self, **{name: getattr(self, name)[kept] for name in names})


def observe(rows: Sequence[Row], where: object = "results") -> Observations:
    """The cells of one data set in rows of one variant; mixtures of weak types are left out.

    Raises:
        InputError: if rows mix variants or data sets, or measure nothing.
    """
    require_one_variant(rows)
    names = sorted({row.dataset for row in rows})
    if len(names) > 1:
        raise InputError(where, f"rows are of {', '.join(names)}", "choose one with `dataset`")
    cells = [row for row in rows if row.weak_type is not None or row.mask_share == 1]
    if not cells:
        raise InputError(where, "no row has one weak type or masks only", "give a sweep's rows")
    _require_measured(cells, where)
    weak = [-1 if row.weak_type is None else WEAK_TYPES.index(row.weak_type) for row in cells]
    share = np.array([row.mask_share for row in cells])
    images = np.array([row.images for row in cells])
    return Observations(
        dataset=names[0],
        schedule=cells[0].schedule,
        images=int(images.max()),
        weak=np.array(weak),
        # A full student counts its images: rows may round the share of the others.
        masks=np.where(share == 1, images, [row.masks for row in cells]).astype(float),
        share=share,
        ap=np.array([row.ap for row in cells]),
        seed=_seeds(cells),
    )


def _seeds(rows: Sequence[Row]) -> np.ndarray:
    """The seed of each run; a published figure names none, and counts as one of its own."""
    is_unnamed = [row.schedule == PUBLISHED and not row.config_hash for row in rows]
    return np.where(is_unnamed, -1 - np.arange(len(rows)), [row.seed for row in rows])


def _require_measured(rows: Sequence[Row], where: object) -> None:
    """Refuse rows of a smoke run, of students stopped early, or of AP 0: they show a sweep runs."""
    remedy = "run the sweep's whole schedule"
    if any(row.schedule == SMOKE for row in rows):
        raise InputError(where, "rows are of a smoke run: a few steps, no measurement", remedy)
    if all(row.truncated for row in rows):
        raise InputError(where, "every student was stopped early", remedy)
    if all(row.ap == 0 for row in rows):
        raise InputError(where, "AP is 0 in every row: no student has learned", remedy)
