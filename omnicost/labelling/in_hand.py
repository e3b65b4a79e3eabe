"""Labels that a project has already: an earlier plan's manifest, or a COCO-format set or file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from omnicost.annotation import AnnotationType
from omnicost.coco import load_json
from omnicost.errors import InputError, short
from omnicost.labelling.images import ImageList, read_table, repeated
from omnicost.plain_text import text_of_cell

SET_FILE: Final = "instances.json"  # of a set in one file, beside its images


def read_labels_in_hand(path: Path, images: ImageList) -> np.ndarray:
    """Strength of the label that each image has already: (N,) int8, 0 for none.

    A manifest (`manifest.csv`) says it in its column `annotation_type`, an image of a set with
    given labels as `omnicost_type`. Else an image of a COCO-format file has a mask if all of its
    annotations have a segmentation, a box if all have a box, a point if all have one, else a class.

    Args:
        path: the file, or the folder of a set in one file.
        images: the project's images; a bare count takes the file's images as its first.

    Raises:
        InputError: if the file cannot be used, or names images that the project does not have.
    """
    if path.is_dir():
        path = path / SET_FILE
    found = manifest_types(path) if path.suffix.lower() == ".csv" else _coco(path)
    strengths = np.zeros(images.count, dtype=np.int8)
    if images.names is None:
        if len(found) > images.count:
            text = f"{len(found):,} images, but the project has {images.count:,}"
            raise InputError(path, text, "give `images`, a folder or a COCO-format file")
        strengths[: len(found)] = [annotation.strength for annotation in found.values()]
        return strengths
    places = images.places(found, path)
    for name, annotation in found.items():
        strengths[places[name]] = annotation.strength
    return strengths


def manifest_types(path: Path) -> dict[str, AnnotationType]:
    """The annotation type of each image that a plan's ``manifest.csv`` names, by file name.

    Raises:
        InputError: if it cannot be used.
    """
    rows = read_table(path, "annotation_type", "give a manifest.csv of a plan")
    column = "file_name" if "file_name" in rows[0] else "row"
    names = [text_of_cell(row.get(column) or str(n)) for n, row in enumerate(rows)]
    if twice := repeated(names):
        raise InputError(path, f"names {short(twice)} twice", "keep one of its rows")
    return {
        name: AnnotationType.parse(row["annotation_type"] or "", f"{path}:{number}")
        for number, (name, row) in enumerate(zip(names, rows, strict=True), start=2)
    }


def _coco(path: Path) -> dict[str, AnnotationType]:
    data = load_json(path)
    records = data.get("images") if isinstance(data, dict) else None
    labels = data.get("annotations") if isinstance(data, dict) else None
    if not isinstance(records, list) or not isinstance(labels, list):
        text = "has no lists of images and annotations"
        raise InputError(path, text, "give a COCO-format file, or a plan's manifest.csv")
    by_image: dict[Any, list[Mapping[str, Any]]] = {}
    for label in labels:
        if isinstance(label, dict):
            by_image.setdefault(label.get("image_id"), []).append(label)
    return {
        str(record.get("file_name")): _declared(record, path)
        if "omnicost_type" in record
        else _weakest(by_image.get(record.get("id"), ()))
        for record in records
        if isinstance(record, dict)
    }


def _declared(record: Mapping[str, Any], path: Path) -> AnnotationType:
    where = f"{path}: image {record.get('id')}: omnicost_type"
    return AnnotationType.parse(str(record["omnicost_type"]), where)


def _weakest(labels: Iterable[Mapping[str, Any]]) -> AnnotationType:
    """The label of an image as a whole: that of its least labelled instance."""
    types = map(_drawn_type, labels)
    return min(types, key=lambda each: each.strength, default=AnnotationType.NONE)


def _drawn_type(label: Mapping[str, Any]) -> AnnotationType:
    if label.get("segmentation"):
        return AnnotationType.MASK
    if any(label.get("bbox") or ()):
        return AnnotationType.BOX
    if label.get("keypoints") or label.get("point"):
        return AnnotationType.POINT
    return AnnotationType.CLASS
