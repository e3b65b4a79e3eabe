"""Counts over images: what labelling costs depend on, and what a data set holds."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from omnicost.cost import DatasetStats
from omnicost.data.columns import Columns
from omnicost.data.dataset import Dataset


class ImageCounts(NamedTuple):
    """Per image, crowds left out."""

    instances: np.ndarray  # (I,) int64
    classes: np.ndarray  # (I,) int64, distinct ones


def image_counts(columns: Columns, classes: int) -> ImageCounts:
    """Instances and distinct classes of every image, out of `classes` classes."""
    images = len(columns.image_ids)
    owners = np.repeat(np.arange(images), np.diff(columns.first_annotation))
    kept = ~columns.is_crowd
    pairs = np.unique(owners[kept] * classes + columns.class_indices[kept])
    return ImageCounts(
        np.bincount(owners[kept], minlength=images),
        np.bincount(pairs // classes, minlength=images),
    )


def dataset_stats(dataset: Dataset) -> DatasetStats:
    """K, c, n and their spread over images, for the planner; empty images count."""
    counts = image_counts(dataset.columns, len(dataset.class_names))
    return DatasetStats.of(
        f"{dataset.name} {dataset.split}",
        name=dataset.name,
        images=len(dataset),
        classes=len(dataset.class_names),
        classes_per_image=_mean(counts.classes),
        instances_per_image=_mean(counts.instances),
        classes_sd=_sd(counts.classes),
        instances_sd=_sd(counts.instances),
        correlation=_correlation(counts),
        source=f"counted in {dataset.split} of {dataset.name}",
    )


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else 0.0


def _sd(values: np.ndarray) -> float | None:
    return float(values.std(ddof=1)) if len(values) > 1 else None


def _correlation(counts: ImageCounts) -> float:
    if not _sd(counts.instances) or not _sd(counts.classes):
        return 0.0  # undefined where one of them is constant
    return float(np.corrcoef(counts.instances, counts.classes)[0, 1])
