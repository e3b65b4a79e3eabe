"""Sets with given labels: which annotation type each image has, and which of its labels count.

An image says its type as `omnicost_type`, or it follows from what is drawn in it. One type an
image, since the pipeline asks one thing of it:

- the weakest of what is drawn (point < box < mask) is the image's type, and stronger drawings are
  read as that: no instance is lost, and none is taken for background because it has no mask;
- tags count only where nothing is drawn; an image without any label is `none`;
- a declared type stands: drawings that are weaker than it are left out, and said by `data check`.

A file is a set with given labels if any image declares a type, or if some image has points or boxes
and not one mask. Tags are told from broken annotations only in such a set.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from omnicost.annotation import PAPER_TYPES

NONE, CLASS, POINT, BOX, MASK = (each.strength for each in PAPER_TYPES)
UNSAID: Final = -1


class GivenLabels(NamedTuple):
    """What the labels of I images with A annotations amount to."""

    types: np.ndarray  # (I,) int8, strengths of `AnnotationType`
    kept: np.ndarray  # (A,) bool


def drawn_types(has_mask: np.ndarray, boxes: np.ndarray, points: np.ndarray) -> np.ndarray:
    """``(A,) int8``: what each annotation draws: a mask, else a box, a point, a tag."""
    has_point = ~np.isnan(points[:, 0])
    # Exports of points often fill in a box without an area.
    has_box = ~np.isnan(boxes[:, 0]) & ~(has_point & (boxes[:, 2] * boxes[:, 3] == 0))
    choices = [has_mask, has_box, has_point]
    return np.select(choices, [MASK, BOX, POINT], CLASS).astype(np.int8)


def given_labels(
    declared: np.ndarray, image_indices: np.ndarray, drawn: np.ndarray, is_crowd: np.ndarray
) -> GivenLabels | None:
    """The types of the images by the rules above; None for a set of masks throughout.

    Args:
        declared: ``(I,) int8``, `UNSAID` where the image does not say.
        image_indices: ``(A,) int64``.
        drawn: ``(A,) int8``, of `drawn_types`.
        is_crowd: ``(A,) bool``; crowds decide nothing.
    """
    highest = np.full(len(declared), UNSAID, np.int8)
    np.maximum.at(highest, image_indices, drawn)
    if (declared == UNSAID).all() and not ((highest > CLASS) & (highest < MASK)).any():
        return None
    inferred = _inferred(highest, image_indices, drawn, is_crowd)
    types = np.where(declared == UNSAID, inferred, declared)
    kept = (drawn >= types[image_indices]) & (types[image_indices] > NONE)
    return GivenLabels(types.astype(np.int8), kept)


def _inferred(
    highest: np.ndarray, image_indices: np.ndarray, drawn: np.ndarray, is_crowd: np.ndarray
) -> np.ndarray:
    weakest = np.full(len(highest), MASK, np.int8)
    counted = (drawn > CLASS) & ~is_crowd
    np.minimum.at(weakest, image_indices[counted], drawn[counted])
    nothing = np.where(highest == UNSAID, NONE, CLASS)
    return np.where(highest > CLASS, weakest, nothing)
