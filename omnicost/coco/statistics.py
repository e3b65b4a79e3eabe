"""K, c and n with their spread over images."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class CocoStatistics(NamedTuple):
    """What labelling costs depend on, over all images: crowds left out, empty images counted.

    Standard deviations and the correlation are over images; the correlation is 0 where either
    column is constant. Of a set with given labels only images whose type counts instances (point,
    box, mask) tell c and n: `counted` is how many; with none of them both are NaN.
    """

    images: int
    classes: int
    instances: int
    classes_per_image: float
    instances_per_image: float
    classes_sd: float
    instances_sd: float
    correlation: float
    counted: int


def count(
    classes: int, image_indices: np.ndarray, class_indices: np.ndarray, counted: np.ndarray
) -> CocoStatistics:
    """The statistics of A instances, crowds left out by the caller.

    Args:
        classes: K.
        image_indices: ``(A,) int64``, below I.
        class_indices: ``(A,) int64``, below K.
        counted: ``(I,) bool``, the images that tell c and n.
    """
    images = len(counted)
    instances = np.bincount(image_indices, minlength=images)[counted]
    present = np.unique(image_indices * classes + class_indices) // classes
    distinct = np.bincount(present, minlength=images)[counted]
    nan = float("nan")
    if not len(instances):
        return CocoStatistics(images, classes, 0, nan, nan, nan, nan, 0.0, 0)
    constant = min(instances.std(), distinct.std()) == 0
    return CocoStatistics(
        images=images,
        classes=classes,
        instances=int(instances.sum()),
        classes_per_image=float(distinct.mean()),
        instances_per_image=float(instances.mean()),
        classes_sd=float(distinct.std()),
        instances_sd=float(instances.std()),
        correlation=0.0 if constant else float(np.corrcoef(distinct, instances)[0, 1]),
        counted=len(instances),
    )
