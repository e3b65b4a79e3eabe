"""Columns as COCO json data: what evaluators, other trainers and people read."""

from __future__ import annotations

from typing import Any

import numpy as np

from omnicost.annotation import AnnotationType
from omnicost.data.columns import Columns, Header


def ground_truth(name: str, header: Header, columns: Columns) -> dict[str, Any]:
    """A data set as COCO json data: the file's ids, compressed RLE masks, crowds included."""
    found = (annotations_of(header, columns, index) for index in range(len(columns.image_ids)))
    annotations = [each for image in found for each in image]
    return {**frame(name, header, columns), "annotations": annotations}


def annotations_of(header: Header, columns: Columns, index: int) -> list[dict[str, Any]]:
    """COCO annotations of one image, crowds included."""
    first, end = columns.first_annotation[index : index + 2].tolist()
    strength = AnnotationType.MASK.strength if columns.given is None else int(columns.given[index])
    return [_annotation(header, columns, index, row, strength) for row in range(first, end)]


def _annotation(
    header: Header, columns: Columns, index: int, row: int, strength: int
) -> dict[str, Any]:
    """One annotation, with what its image's type says and nothing more."""
    x0, y0, x1, y1 = columns.boxes[row].tolist()
    said: dict[str, Any] = {
        "id": int(columns.annotation_ids[row]),
        "image_id": int(columns.image_ids[index]),
        "category_id": int(header.category_ids[columns.class_indices[row]]),
    }
    if strength == AnnotationType.POINT.strength and columns.points is not None:
        said["point"] = columns.points[row].tolist()
    if strength >= AnnotationType.BOX.strength:
        said["bbox"] = [x0, y0, x1 - x0, y1 - y0]
        said["area"] = float(columns.areas[row])
    if strength >= AnnotationType.BOX.strength or columns.is_crowd[row]:
        said["iscrowd"] = int(columns.is_crowd[row])
    if strength == AnnotationType.MASK.strength:
        said["segmentation"] = as_text(columns.rle(row, columns.sizes[index].tolist()))
    return said


def frame(name: str, header: Header, columns: Columns) -> dict[str, Any]:
    """Everything of a COCO file but the annotations."""
    ids, names = columns.image_ids.tolist(), columns.file_names.tolist()
    images = [
        {"id": each, "file_name": file_name, "height": height, "width": width}
        for each, file_name, (height, width) in zip(ids, names, columns.sizes.tolist(), strict=True)
    ]
    if columns.given is not None:
        types = tuple(AnnotationType)
        for image, strength in zip(images, np.asarray(columns.given).tolist(), strict=True):
            image["omnicost_type"] = str(types[strength])
    categories = zip(header.category_ids, header.class_names, strict=True)
    return {
        "info": {"description": name, "size_bounds": list(header.size_bounds)},
        "images": images,
        "categories": [{"id": each, "name": class_name} for each, class_name in categories],
    }


def as_text(rle: dict[str, Any]) -> dict[str, Any]:
    """A compressed RLE as json can hold it."""
    return {**rle, "counts": rle["counts"].decode("ascii")}
