"""The sections of a COCO file as columns, and the checks of each."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress
from typing import Any, Final

import numpy as np

from omnicost.annotation import PAPER_TYPES
from omnicost.coco.decode import has_mask
from omnicost.coco.faults import Faults, shown
from omnicost.coco.given import UNSAID
from omnicost.coco.records import Records, as_float
from omnicost.errors import InputError

MOST_PIXELS: Final = 2**26  # 8,192 x 8,192: a picture takes 200 MB, each of its masks 67
MOST_ASPECT: Final = 64  # of the sides of a picture: models shrink the longer one
_BOX: Final = "use [x, y, width, height], finite, width and height not negative"
_POINT: Final = "use [x, y], finite, or keypoints with one visible point"
SectionColumns = dict[str, Any]  # by the names of `CocoFile`, or of its fields


def annotation_columns(records: Records, segmentations: bool) -> SectionColumns:
    """Annotations by themselves; what they refer to is for `Rows` to see."""
    ids = records.ids()
    crowd = records.integers("iscrowd", "faulty crowd flag", default=0)
    records.refuse_values((crowd != 0) & (crowd != 1), "faulty crowd flag", "iscrowd", "use 0 or 1")
    areas = records.numbers("area", "faulty area")
    negative = areas < 0
    records.refuse_values(negative, "faulty area", "area", "use an area of 0 or more pixels")
    boxes = records.boxes("bbox", "faulty box", 4, _BOX)
    records.refuse_values(np.any(boxes[:, 2:] < 0, axis=1), "faulty box", "bbox", _BOX)
    drawings = records.column("segmentation", None)
    columns = {
        "annotation_ids": ids,
        "images": records.integers("image_id", "unknown image"),
        "categories": records.integers("category_id", "unknown category"),
        "areas": areas,
        "boxes": boxes,
        "is_crowd": crowd == 1,
        "has_mask": np.array([has_mask(drawing) for drawing in drawings], bool),
    }
    columns["points"] = _points(records, columns["has_mask"] | (boxes[:, 2:] > 0).all(1))
    columns["sound"] = records.sound
    return columns | {"segmentations": drawings if segmentations else []}


def _points(records: Records, drawn: np.ndarray) -> np.ndarray:
    """``(A, 2) float64``: `point`, or the one visible keypoint of what has no mask and no box."""
    points = records.boxes("point", "faulty point", 2, _POINT)
    keypoints = records.column("keypoints", None)
    wrong = np.zeros(len(points), bool)
    for index, value in enumerate(keypoints):
        if value is None or (drawn[index] or not np.isnan(points[index, 0])):
            continue
        visible = _visible(value)
        wrong[index] = len(visible) != 1
        if len(visible) == 1:
            points[index] = visible[0]
    records.refuse_values(wrong, "faulty point", "keypoints", _POINT)
    return points


def _visible(keypoints: Any) -> list[tuple[float, float]]:
    if not isinstance(keypoints, list) or len(keypoints) % 3:
        return []
    numbers = [as_float(each) for each in keypoints]
    if any(each is None or not np.isfinite(each) for each in numbers):
        return []
    triples = zip(numbers[::3], numbers[1::3], numbers[2::3], strict=True)
    return [(x, y) for x, y, seen in triples if seen]  # type: ignore[misc]


def image_columns(records: Records) -> SectionColumns:
    """The sound images: ids, sizes, names, and the annotation types that they declare."""
    ids, fault = records.ids(), "image without size"
    sizes = np.stack([records.integers(key, fault, default=0) for key in ("height", "width")], 1)
    wrong = np.any(sizes < 0, axis=1)
    records.refuse_values(wrong, fault, "height and width", "give the size in pixels")
    vast = ~wrong & (np.clip(sizes, 0, 2**30).prod(axis=1) > MOST_PIXELS)
    remedy = f"cut it into tiles or shrink it: at most {MOST_PIXELS:,} pixels"
    records.refuse_values(vast, "image too large", "height and width", remedy)
    thin = ~wrong & (sizes.min(axis=1) > 0) & (sizes.max(axis=1) > MOST_ASPECT * sizes.min(axis=1))
    remedy = f"cut it into tiles: at most {MOST_ASPECT} times as long as wide"
    records.refuse_values(thin, "image too thin", "height and width", remedy)
    names = records.texts("file_name", "image without file name")
    out = np.array([_leads_out(name) for name in names], bool)
    remedy = "name pictures relative to their folder, without .."
    records.refuse_values(out, "picture outside the set", "file_name", remedy)
    said = _said(records)
    _refuse_repeated(records, ids.tolist(), "duplicate image id", "id", "make ids unique")
    _refuse_repeated(records, names, "duplicate file name", "file_name", "name each picture once")
    return {
        "image_ids": ids[records.sound],
        "image_sizes": sizes[records.sound],
        "file_names": list(compress(names, records.sound)),
        "said": said[records.sound],
    }


def _leads_out(name: str) -> bool:
    """Whether a picture's name leaves the folder of the pictures."""
    return ".." in name.replace("\\", "/").split("/") or name.startswith("/")


def _said(records: Records) -> np.ndarray:
    texts = records.texts("omnicost_type", "unknown annotation type")
    known = {str(each): each.strength for each in PAPER_TYPES} | {"": UNSAID}
    wrong = np.array([each not in known for each in texts], bool)
    remedy = f"use {', '.join(PAPER_TYPES)}"
    records.refuse_values(wrong, "unknown annotation type", "omnicost_type", remedy)
    return np.array([known.get(each, UNSAID) for each in texts], np.int8)


def class_columns(records: Records) -> SectionColumns:
    """All sound ids, and which class each of them stands for: those of one name are one."""
    ids = records.ids()
    names = records.texts("name", "category without name", required=True)
    _refuse_repeated(records, ids.tolist(), "duplicate category id", "id", "make ids unique")
    parents = records.column("supercategory", None)
    ids, names = ids[records.sound], list(compress(names, records.sound))
    place: dict[str, int] = {}
    first: list[int] = []
    for position, name in enumerate(names):
        if name in place:
            detail = f"{name!r} is one class with category {ids[first[place[name]]]}"
            records.faults.note("duplicate category name", f"category {ids[position]}", detail)
        else:
            place[name] = len(first)
            first.append(position)
    return {
        "ids": ids,
        "first": first,
        "names": list(place),
        "class_of": np.array([place[name] for name in names], np.int64),
        "parents": {each for each in parents if isinstance(each, str)},
    }


def note_unused(faults: Faults, classes: SectionColumns, used: np.ndarray) -> None:
    """Tell of parents of other categories that exports list and nobody labels: K counts them."""
    unused = np.setdiff1d(np.arange(len(classes["names"])), used)
    for index in unused.tolist() if faults.collect else ():
        if classes["names"][index] in classes["parents"]:
            number = classes["ids"][classes["first"][index]]
            detail = "no annotation uses it and others name it as their parent, but K counts it"
            faults.note("unused parent category", f"category {number}", detail)


def _refuse_repeated(
    records: Records, values: Sequence[object], fault: str, key: str, remedy: str
) -> None:
    """Refuse a record whose value a sound one before it has; empty text is none."""
    seen: set[object] = set()
    repeated = np.zeros(len(records.records), bool)
    for index, value in enumerate(values):
        repeated[index] = records.sound[index] and value != "" and value in seen
        seen.add(value)
    records.refuse(repeated, fault, lambda n: f"{key} {shown(values[n])} is used twice", remedy)


class Rows:
    """The annotations as whole columns, for what takes all of them to see."""

    def __init__(self, faults: Faults, columns: SectionColumns) -> None:
        self.faults, self.columns = faults, columns
        self.sound: np.ndarray = columns["sound"].copy()
        self.ids: np.ndarray = columns["annotation_ids"]

    def unique(self) -> None:
        """Refuse ids that are used before."""
        order = np.argsort(self.ids, kind="stable")
        again = order[1:][self.ids[order[1:]] == self.ids[order[:-1]]]
        again = np.sort(again[self.columns["sound"][again]])
        self._refuse(again, "duplicate annotation id", lambda n: f"id {n} is used twice", self.ids,
                     "make ids unique")  # fmt: skip

    def references(self, column: str, ids: np.ndarray, key: str, fault: str) -> np.ndarray:
        """Positions in `ids` of the values of a column: (A,) int64."""
        values = self.columns[column]
        if not len(ids):
            raise InputError(self.faults.path, f"no usable {column}", "mend what is listed")
        order = np.argsort(ids, kind="stable")
        found = np.minimum(np.searchsorted(ids, values, sorter=order), len(ids) - 1)
        positions = order[found]
        unknown = np.flatnonzero((ids[positions] != values) & self.columns["sound"])
        remedy = f"add it to {column} or remove the annotation"
        self._refuse(unknown, fault, lambda n: f"{key} {n} is not in {column}", values, remedy)
        return positions

    def leave_out(self, rows: np.ndarray) -> None:
        """Drop labels that say less than their image's type, as the rule is."""
        self.sound[rows] = False
        for row in rows.tolist() if self.faults.collect else ():
            detail = "says less than its image's type, or stands beside what is drawn"
            self.faults.note("label left out", f"annotation {self.ids[row]}", detail)

    def _refuse(
        self, rows: np.ndarray, fault: str, problem: Any, values: np.ndarray, remedy: str
    ) -> None:
        self.sound[rows] = False
        for row in rows.tolist():
            number = self.ids[row]
            where = f"annotations[{row}] (id {number})"
            self.faults.add(fault, f"annotation {number}", where, problem(int(values[row])), remedy)
