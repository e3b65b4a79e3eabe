"""A COCO-format file as validated columns."""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from omnicost.coco import given as given_module
from omnicost.coco.decode import (
    CHUNK,
    Drawings,
    Sections,
    decode_annotations,
    decode_sections,
    forget,
    has_mask,
    load_json,
)
from omnicost.coco.faults import Faults, shown
from omnicost.coco.given import UNSAID, drawn_types, given_labels
from omnicost.coco.records import NOUNS, Records, as_float
from omnicost.coco.statistics import CocoStatistics, count
from omnicost.errors import InputError

MOST_PIXELS: Final = 2**26  # 8,192 x 8,192: a picture takes 200 MB, each of its masks 67
MOST_ASPECT: Final = 64  # of the sides of a picture: models shrink the longer one
_BOX: Final = "use [x, y, width, height], finite, width and height not negative"
_POINT: Final = "use [x, y], finite, or keypoints with one visible point"


@dataclass(frozen=True, eq=False)
class CocoFile:
    """A validated COCO-format file: I images, A annotations, K categories, in file order.

    Categories of one name are one class, that of the first. Of a set with given labels only the
    annotations that count are here (`omnicost.coco.given`).

    Attributes:
        path: the file.
        image_ids: (I,) int64.
        image_sizes: (I, 2) int64, height and width; 0 where the file gives none.
        file_names: (I,) text; empty where the file gives none.
        category_ids: (K,) int64, as in the file; class indices are positions in it.
        category_names: (K,) text.
        annotation_ids: (A,) int64.
        image_indices: (A,) int64, positions in `image_ids`.
        class_indices: (A,) int64, positions in `category_ids`.
        areas: (A,) float64, pixels; NaN where the file gives none.
        boxes: (A, 4) float64, x y width height in pixels; NaN where the file gives none.
        points: (A, 2) float64, x y in pixels; NaN where the file gives none.
        is_crowd: (A,) bool.
        drawn: (A,) int8, strength of what each annotation draws.
        types: (I,) int8, strength of each image's annotation type; None unless labels are given.
        segmentations: text or data of the polygons or RLE of each annotation
            (`decode.segmentation_of`), None where there is none; an empty tuple if they were not
            asked for.
        info: the file's `info`.
    """

    path: Path
    image_ids: np.ndarray
    image_sizes: np.ndarray
    file_names: Sequence[str]
    category_ids: np.ndarray
    category_names: tuple[str, ...]
    annotation_ids: np.ndarray
    image_indices: np.ndarray
    class_indices: np.ndarray
    areas: np.ndarray
    boxes: np.ndarray
    points: np.ndarray
    is_crowd: np.ndarray
    drawn: np.ndarray
    types: np.ndarray | None
    segmentations: Sequence[Any]
    info: Any

    def statistics(self) -> CocoStatistics:
        """K, c and n with their spread over images."""
        kept = ~self.is_crowd
        counted = np.ones(len(self.image_ids), bool)
        if self.types is not None:
            counted = self.types >= given_module.POINT
        return count(
            len(self.category_ids), self.image_indices[kept], self.class_indices[kept], counted
        )

    def of_images(self, chosen: np.ndarray) -> CocoFile:
        """The file with the images that an ``(I,) bool`` says, and their annotations."""
        if chosen.all():
            return self
        rows, images = chosen[self.image_indices], np.flatnonzero(chosen)
        return replace(
            self,
            image_ids=self.image_ids[images],
            image_sizes=self.image_sizes[images],
            file_names=[self.file_names[n] for n in images.tolist()],
            annotation_ids=self.annotation_ids[rows],
            image_indices=(np.cumsum(chosen) - 1)[self.image_indices[rows]],
            class_indices=self.class_indices[rows],
            areas=self.areas[rows],
            boxes=self.boxes[rows],
            points=self.points[rows],
            is_crowd=self.is_crowd[rows],
            drawn=self.drawn[rows],
            types=None if self.types is None else self.types[images],
            segmentations=_chosen(self.segmentations, rows) if self.segmentations else (),
        )


def read_coco(
    path: Path | str, segmentations: bool = True, faults: Faults | None = None
) -> CocoFile:
    """Read and check a COCO-format file.

    Args:
        path: a JSON file with `images`, `annotations` and `categories`.
        segmentations: keep the segmentations; without them a large file takes less memory.
        faults: where faults go; by default the first is raised. Faulty records are left out.

    Raises:
        InputError: naming file, field, value and remedy of the first fault.
    """
    faults = faults or Faults(path)
    sections = decode_sections(path)
    if sections is not None and isinstance(sections.images, list):
        columns = _decoded_columns(sections, faults, segmentations)
        if columns is not None:
            return _assembled(faults, sections.images, columns, sections.categories, sections.info)
        faults.found.clear()
    return parse_coco(load_json(path), path, segmentations, faults)


def parse_coco(
    data: Any,
    path: Path | str = "COCO data",
    segmentations: bool = True,
    faults: Faults | None = None,
) -> CocoFile:
    """Check COCO-format data that is already loaded; `path` names it in messages.

    Raises:
        InputError: naming file, field, value and remedy of the first fault.
    """
    faults = faults or Faults(path)
    if not isinstance(data, dict):
        kind = type(data).__name__
        raise InputError(path, f"holds a {kind}, not an object", "give a COCO-format file")
    for name in NOUNS:
        if name not in data:
            raise InputError(path, f"{name} is missing", "give a COCO-format instances file")
    annotations = _objects(data["annotations"], "annotations", faults)
    columns = _annotation_columns(Records(faults, "annotations", annotations), segmentations)
    return _assembled(faults, data["images"], columns, data["categories"], data.get("info"))


_Columns = dict[str, Any]


def _objects(records: Any, section: str, faults: Faults) -> list[dict[str, Any]]:
    """The records of a section that are objects."""
    if not isinstance(records, list):
        kind = type(records).__name__
        raise InputError(faults.path, f"{section} is a {kind}", "make it a list of objects")
    kind = f"{NOUNS[section]} without id"
    for position, record in enumerate(records):
        if not isinstance(record, dict):
            where = f"{section}[{position}]"
            faults.add(kind, where, where, f"is {shown(record)}", "make it an object")
    return [record if isinstance(record, dict) else {} for record in records]


def _decoded_columns(sections: Sections, faults: Faults, segmentations: bool) -> _Columns | None:
    """The columns of annotations, decoded some at a time; None if one is not as it should be."""
    chunks, raws = [], sections.annotations
    for start in range(0, max(len(raws), 1), CHUNK):
        decoded = decode_annotations(raws[start : start + CHUNK])
        if decoded is None:
            return None
        raws[start : start + CHUNK] = [None] * len(decoded)
        records = Records(faults, "annotations", decoded, start, getattr)
        chunks.append(_annotation_columns(records, segmentations))
        forget(sections.content)
    joined: _Columns = {
        key: np.concatenate([chunk[key] for chunk in chunks])
        for key in chunks[0]
        if key != "segmentations"
    }
    drawings: Sequence[Any] = [each for chunk in chunks for each in chunk["segmentations"]]
    if isinstance(sections.content, mmap.mmap) and drawings:
        drawings = Drawings(drawings, sections.content)
    return joined | {"segmentations": drawings}


def _annotation_columns(records: Records, segmentations: bool) -> _Columns:
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
    columns["points"] = _points(records, columns["has_mask"] | (boxes[:, 2] * boxes[:, 3] > 0))
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


def _assembled(
    faults: Faults, images: Any, columns: _Columns, categories: Any, info: Any
) -> CocoFile:
    pictures = _image_columns(Records(faults, "images", _listed(images, "images", faults)))
    classes = _class_columns(
        Records(faults, "categories", _listed(categories, "categories", faults))
    )
    rows = _Rows(faults, columns)
    rows.unique()
    image_indices = rows.references("images", pictures["image_ids"], "image_id", "unknown image")
    classes_of = rows.references("categories", classes["ids"], "category_id", "unknown category")
    drawn = drawn_types(columns["has_mask"], columns["boxes"], columns["points"])
    sound = rows.sound
    given = given_labels(
        pictures["declared"], image_indices[sound], drawn[sound], columns["is_crowd"][sound]
    )
    if given is not None:
        rows.leave_out(np.flatnonzero(sound)[~given.kept])
        sound = rows.sound
    _note_unused(faults, classes, classes["class_of"][classes_of[sound]])
    drawings = columns["segmentations"]
    return CocoFile(
        path=Path(str(faults.path)),
        image_ids=pictures["image_ids"],
        image_sizes=pictures["image_sizes"],
        file_names=pictures["file_names"],
        category_ids=classes["ids"][classes["first"]],
        category_names=tuple(classes["names"]),
        annotation_ids=columns["annotation_ids"][sound],
        image_indices=image_indices[sound],
        class_indices=classes["class_of"][classes_of[sound]],
        areas=columns["areas"][sound],
        boxes=columns["boxes"][sound],
        points=columns["points"][sound],
        is_crowd=columns["is_crowd"][sound],
        drawn=drawn[sound],
        types=None if given is None else given.types,
        segmentations=_chosen(drawings, sound) if drawings else (),
        info=info,
    )


def _chosen(drawings: Sequence[Any], sound: np.ndarray) -> Sequence[Any]:
    if isinstance(drawings, Drawings):
        return drawings if sound.all() else drawings.take(np.flatnonzero(sound).tolist())
    if sound.all():
        return tuple(drawings)
    return tuple(drawings[row] for row in np.flatnonzero(sound).tolist())


def _listed(records: Any, section: str, faults: Faults) -> list[dict[str, Any]]:
    found = _objects(records, section, faults)
    if not found:
        noun = NOUNS[section]
        raise InputError(faults.path, f"{section} is empty", f"list at least one {noun}")
    return found


def _image_columns(records: Records) -> _Columns:
    ids, kind = records.ids(), "image without size"
    sizes = np.stack([records.integers(key, kind, default=0) for key in ("height", "width")], 1)
    wrong = np.any(sizes < 0, axis=1)
    records.refuse_values(wrong, kind, "height and width", "give the size in pixels")
    vast = ~wrong & (np.clip(sizes, 0, 2**30).prod(axis=1) > MOST_PIXELS)
    remedy = f"cut it into tiles or shrink it: at most {MOST_PIXELS:,} pixels"
    records.refuse_values(vast, "image too large", "height and width", remedy)
    thin = ~wrong & (sizes.min(axis=1) > 0) & (sizes.max(axis=1) > MOST_ASPECT * sizes.min(axis=1))
    remedy = f"cut it into tiles: at most {MOST_ASPECT} times as long as wide"
    records.refuse_values(thin, "image too thin", "height and width", remedy)
    names = records.texts("file_name", "image without file name")
    out = np.array([leads_out(name) for name in names], bool)
    remedy = "name pictures relative to their folder, without .."
    records.refuse_values(out, "picture outside the set", "file_name", remedy)
    declared = _declared(records)
    _refuse_repeated(records, ids, "duplicate image id", "id", "make ids unique")
    _refuse_repeated(records, names, "duplicate file name", "file_name", "name each picture once")
    sound = np.flatnonzero(records.sound)
    return {
        "image_ids": ids[sound],
        "image_sizes": sizes[sound],
        "file_names": names if len(sound) == len(names) else [names[n] for n in sound.tolist()],
        "declared": declared[sound],
    }


def leads_out(name: str) -> bool:
    """Whether a picture's name leaves the folder of the pictures."""
    return ".." in name.replace("\\", "/").split("/") or name.startswith("/")


def _declared(records: Records) -> np.ndarray:
    said = records.texts("omnicost_type", "unknown annotation type")
    known = {str(kind): kind.strength for kind in given_module.TYPES} | {"": UNSAID}
    wrong = np.array([each not in known for each in said], bool)
    remedy = f"use {', '.join(given_module.TYPES)}"
    records.refuse_values(wrong, "unknown annotation type", "omnicost_type", remedy)
    return np.array([known.get(each, UNSAID) for each in said], np.int8)


def _class_columns(records: Records) -> _Columns:
    """All sound ids, and which class each of them stands for: those of one name are one."""
    ids = records.ids()
    names = records.texts("name", "category without name", required=True)
    _refuse_repeated(records, ids, "duplicate category id", "id", "make ids unique")
    sound = np.flatnonzero(records.sound).tolist()
    place: dict[str, int] = {}
    first: list[int] = []
    class_of = np.zeros(len(sound), np.int64)
    for position, row in enumerate(sound):
        if names[row] in place:
            detail = (
                f"{names[row]!r} is one class with category {ids[sound[first[place[names[row]]]]]}"
            )
            records.faults.note("duplicate category name", f"category {ids[row]}", detail)
        else:
            place[names[row]] = len(first)
            first.append(position)
        class_of[position] = place[names[row]]
    return {
        "ids": ids[sound],
        "first": first,
        "names": list(place),
        "class_of": class_of,
        "parents": {each for each in records.column("supercategory", None) if _is_text(each)},
    }


def _note_unused(faults: Faults, classes: _Columns, used: np.ndarray) -> None:
    """Tell of parents of other categories that exports list and nobody labels: K counts them."""
    unused = np.setdiff1d(np.arange(len(classes["names"])), used)
    for index in unused.tolist() if faults.collect else ():
        if classes["names"][index] in classes["parents"]:
            number = classes["ids"][classes["first"][index]]
            detail = "no annotation uses it and others name it as their parent, but K counts it"
            faults.note("unused parent category", f"category {number}", detail)


def _refuse_repeated(
    records: Records, values: np.ndarray | list[str], kind: str, key: str, remedy: str
) -> None:
    """Refuse a record whose value a sound one before it has; empty text is none."""
    seen: set[Any] = set()
    repeated = np.zeros(len(records.records), bool)
    everything = values if isinstance(values, list) else values.tolist()
    for index, value in enumerate(everything):
        repeated[index] = records.sound[index] and value != "" and value in seen
        seen.add(value)
    records.refuse(repeated, kind, lambda n: f"{key} {shown(everything[n])} is used twice", remedy)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


class _Rows:
    """The annotations as whole columns, for what takes all of them to see."""

    def __init__(self, faults: Faults, columns: _Columns) -> None:
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

    def references(self, column: str, ids: np.ndarray, key: str, kind: str) -> np.ndarray:
        """Positions in `ids` of the values of a column: (A,) int64."""
        values = self.columns[column]
        if not len(ids):
            raise InputError(self.faults.path, f"no usable {column}", "mend what is listed")
        order = np.argsort(ids, kind="stable")
        found = np.minimum(np.searchsorted(ids, values, sorter=order), len(ids) - 1)
        positions = order[found]
        unknown = np.flatnonzero((ids[positions] != values) & self.columns["sound"])
        remedy = f"add it to {column} or remove the annotation"
        self._refuse(unknown, kind, lambda n: f"{key} {n} is not in {column}", values, remedy)
        return positions

    def leave_out(self, rows: np.ndarray) -> None:
        """Drop labels that say less than their image's type, as the rule is."""
        self.sound[rows] = False
        for row in rows.tolist() if self.faults.collect else ():
            detail = "says less than its image's type, or stands beside what is drawn"
            self.faults.note("label left out", f"annotation {self.ids[row]}", detail)

    def _refuse(
        self, rows: np.ndarray, kind: str, problem: Any, values: np.ndarray, remedy: str
    ) -> None:
        self.sound[rows] = False
        for row in rows.tolist():
            number = self.ids[row]
            where = f"annotations[{row}] (id {number})"
            self.faults.add(kind, f"annotation {number}", where, problem(int(values[row])), remedy)
