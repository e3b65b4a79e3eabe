"""What a data set holds, counted for the planner."""

from __future__ import annotations

import numpy as np

from omnicost.coco import CocoFile, CocoStatistics
from omnicost.cost import DatasetStats, stats_of_counts
from omnicost.data.dataset import Dataset
from omnicost.errors import InputError


def count(dataset: Dataset) -> CocoStatistics:
    """K, c, n and their spread over images: crowds left out, empty images counted.

    Raises:
        InputError: if there is no image.
    """
    if not len(dataset):
        raise InputError(f"{dataset.name} {dataset.split}", "has no image", "give it pictures")
    return _as_file(dataset).statistics()


def dataset_stats(dataset: Dataset) -> DatasetStats:
    """The counts in the planner's form.

    Raises:
        InputError: if there is no image.
    """
    return stats_of_counts(count(dataset), dataset.name, f"{dataset.name} {dataset.split}")


def _as_file(dataset: Dataset) -> CocoFile:
    """The columns under the names of a COCO file, so that one function counts both."""
    columns = dataset.columns
    per_image = np.diff(columns.first_annotation)
    return CocoFile(
        path=dataset.picture_folder,
        image_ids=columns.image_ids,
        image_sizes=columns.sizes,
        file_names=(),
        category_ids=dataset.category_ids,
        category_names=dataset.class_names,
        annotation_ids=columns.annotation_ids,
        image_indices=np.repeat(np.arange(len(dataset)), per_image),
        class_indices=columns.class_indices,
        areas=columns.areas,
        boxes=columns.boxes,
        is_crowd=columns.is_crowd,
        segmentations=(),
    )
