"""COCO-format files as columns: any size, every fault named. The base of statistics and data sets.

Reads with `json` and numpy alone. All checks run on whole columns, so reading costs little more
than `json.load` itself.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from omnicost.errors import InputError
from omnicost.files import read_bytes

SECTIONS: Final = ("images", "annotations", "categories")
_MISSING: Final = object()


class CocoStatistics(NamedTuple):
    """What labelling costs depend on, over all images: crowds left out, empty images counted.

    Standard deviations and the correlation are over images; the correlation is 0 where either
    column is constant.
    """

    images: int
    classes: int
    instances: int
    classes_per_image: float
    instances_per_image: float
    classes_sd: float
    instances_sd: float
    correlation: float


@dataclass(frozen=True, eq=False)
class CocoFile:
    """A validated COCO-format file: I images, A annotations, K categories, in file order.

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
        is_crowd: (A,) bool.
        segmentations: the raw polygons or RLE of each annotation, None where there is none; an
            empty tuple if they were not asked for.
    """

    path: Path
    image_ids: np.ndarray
    image_sizes: np.ndarray
    file_names: tuple[str, ...]
    category_ids: np.ndarray
    category_names: tuple[str, ...]
    annotation_ids: np.ndarray
    image_indices: np.ndarray
    class_indices: np.ndarray
    areas: np.ndarray
    boxes: np.ndarray
    is_crowd: np.ndarray
    segmentations: tuple[Any, ...]

    def statistics(self) -> CocoStatistics:
        """K, c and n with their spread over images."""
        images, classes = len(self.image_ids), len(self.category_ids)
        kept = ~self.is_crowd
        image, kind = self.image_indices[kept], self.class_indices[kept]
        instances = np.bincount(image, minlength=images)
        present = np.unique(image * classes + kind) // classes
        distinct = np.bincount(present, minlength=images)
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
        )


def read_coco(path: Path | str, segmentations: bool = True) -> CocoFile:
    """Read and check a COCO-format file.

    Args:
        path: a JSON file with `images`, `annotations` and `categories`.
        segmentations: keep the raw segmentations; without them a large file takes less memory.

    Raises:
        InputError: naming file, field, value and remedy of the first fault.
    """
    return parse_coco(load_json(path), path, segmentations)


def load_json(path: Path | str) -> Any:
    """The data of a JSON file.

    Raises:
        InputError: if it cannot be read or is not JSON.
    """
    content = read_bytes(path)
    if not content.strip():
        raise InputError(path, "is empty", "give a JSON file")
    # Millions of small objects: collecting garbage while they are made finds none and costs a
    # third of the time.
    collecting = gc.isenabled()
    gc.disable()
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InputError(path, f"is not JSON ({error})", "export it again as JSON") from None
    finally:
        if collecting:
            gc.enable()


def parse_coco(data: Any, path: Path | str = "COCO data", segmentations: bool = True) -> CocoFile:
    """Check COCO-format data that is already loaded; `path` names it in messages.

    Raises:
        InputError: naming file, field, value and remedy of the first fault.
    """
    images, annotations, categories = _sections(data, path)
    image_ids = _Records(path, "images", images).ids()
    category_ids = _Records(path, "categories", categories).ids()
    return CocoFile(
        path=Path(path),
        image_ids=image_ids,
        category_ids=category_ids,
        **_image_columns(path, images),
        category_names=_Records(path, "categories", categories).texts("name", required=True),
        **_annotation_columns(path, annotations, image_ids, category_ids),
        segmentations=tuple(a.get("segmentation") for a in annotations) if segmentations else (),
    )


def _sections(data: Any, path: Path | str) -> list[list[dict[str, Any]]]:
    if not isinstance(data, dict):
        kind = type(data).__name__
        raise InputError(path, f"holds a {kind}, not an object", "give a COCO-format file")
    for name in SECTIONS:
        if name not in data:
            raise InputError(path, f"{name} is missing", "give a COCO-format instances file")
        if not isinstance(data[name], list):
            kind = type(data[name]).__name__
            raise InputError(path, f"{name} is a {kind}", "make it a list of objects")
        bad = next((i for i, r in enumerate(data[name]) if not isinstance(r, dict)), None)
        if bad is not None:
            value = data[name][bad]
            raise InputError(path, f"{name}[{bad}] is {value!r}", "make it an object")
    for name, noun in (("images", "image"), ("categories", "category")):
        if not data[name]:
            raise InputError(path, f"{name} is empty", f"list at least one {noun}")
    return [data[name] for name in SECTIONS]


def _image_columns(path: Path | str, images: list[dict[str, Any]]) -> dict[str, Any]:
    records = _Records(path, "images", images)
    sizes = np.stack([records.integers(key, default=0) for key in ("height", "width")], axis=1)
    records.refuse(np.any(sizes < 0, axis=1), "height and width", "give the size in pixels")
    return {"image_sizes": sizes, "file_names": records.texts("file_name")}


def _annotation_columns(
    path: Path | str,
    annotations: list[dict[str, Any]],
    image_ids: np.ndarray,
    category_ids: np.ndarray,
) -> dict[str, Any]:
    records = _Records(path, "annotations", annotations)
    crowd = records.integers("iscrowd", default=0)
    records.refuse((crowd != 0) & (crowd != 1), "iscrowd", "use 0 or 1")
    return {
        "annotation_ids": records.ids(),
        "image_indices": records.references("image_id", image_ids, "images"),
        "class_indices": records.references("category_id", category_ids, "categories"),
        "areas": _areas(records),
        "boxes": _boxes(records),
        "is_crowd": crowd == 1,
    }


def _areas(records: _Records) -> np.ndarray:
    areas = records.numbers("area")
    records.refuse(areas < 0, "area", "use an area of 0 or more pixels")
    return areas


def _boxes(records: _Records) -> np.ndarray:
    values = records.column("bbox", None)
    absent = [value is None for value in values]
    filled = [_NO_BOX if none else value for none, value in zip(absent, values, strict=True)]
    remedy = "use [x, y, width, height], finite, width and height not negative"
    wrong = [not isinstance(value, list) or len(value) != 4 for value in filled]
    records.refuse(np.array(wrong, dtype=bool), "bbox", remedy)
    flat = [number for value in filled for number in value]
    boxes = _as_array(flat)
    if boxes is None:
        wrong = [any(not _is_number(number) for number in value) for value in filled]
        records.refuse(np.array(wrong), "bbox", remedy)
    boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    finite = np.isfinite(boxes).all(axis=1) & (boxes[:, 2:] >= 0).all(axis=1)
    records.refuse(~finite & ~np.array(absent, dtype=bool), "bbox", remedy)
    return boxes


_NO_BOX: Final = [float("nan")] * 4


class _Records:
    """One section of the file as columns; a fault names the section, the field and the id."""

    def __init__(self, path: Path | str, section: str, records: Sequence[dict[str, Any]]) -> None:
        self.path, self.section, self.records = path, section, records

    def column(self, key: str, default: object = _MISSING) -> list[Any]:
        """The values of a field, `default` where it is left out.

        Raises:
            InputError: if a record lacks it and there is no default.
        """
        if default is not _MISSING:
            return [record.get(key, default) for record in self.records]
        try:
            return [record[key] for record in self.records]
        except KeyError:
            index = next(i for i, record in enumerate(self.records) if key not in record)
            raise InputError(self.path, f"{self._name(index)} has no {key}", "add it") from None

    def ids(self) -> np.ndarray:
        """The `id` column, integers without repeats: (N,) int64."""
        ids = self.integers("id")
        order = np.argsort(ids, kind="stable")
        repeated = order[1:][ids[order[1:]] == ids[order[:-1]]]
        if repeated.size:
            value = ids[repeated.min()]
            raise InputError(
                self.path, f"{self.section}: id {value} is used twice", "make ids unique"
            )
        return ids

    def references(self, key: str, ids: np.ndarray, section: str) -> np.ndarray:
        """Positions in `ids` of the values of a field: (N,) int64."""
        values = self.integers(key)
        order = np.argsort(ids, kind="stable")
        found = np.minimum(np.searchsorted(ids, values, sorter=order), len(ids) - 1)
        positions = order[found]
        remedy = f"add it to {section} or remove the {self.section[:-1]}"
        self.refuse(ids[positions] != values, key, remedy, f"is not in {section}")
        return positions

    def integers(self, key: str, default: object = _MISSING) -> np.ndarray:
        """A column of whole numbers: (N,) int64."""
        values = self.column(key, default)
        array = _as_array(values)
        if array is not None and array.dtype.kind == "i":
            return array.astype(np.int64, copy=False)
        wrong = np.array([not _is_whole(value) for value in values], dtype=bool)
        self.refuse(wrong, key, "use a whole number")
        return np.array([int(value) for value in values], dtype=np.int64)

    def numbers(self, key: str) -> np.ndarray:
        """A column of finite numbers, NaN where the field is left out: (N,) float64."""
        nan = float("nan")
        values = [nan if value is None else value for value in self.column(key, None)]
        array = _as_array(values)
        if array is None:
            wrong = np.array([not _is_number(value) for value in values], dtype=bool)
            self.refuse(wrong, key, "use a number")
        array = np.asarray(array, dtype=np.float64)
        given = np.array([record.get(key) is not None for record in self.records], dtype=bool)
        self.refuse(~np.isfinite(array) & given, key, "use a finite number")
        return array

    def texts(self, key: str, required: bool = False) -> tuple[str, ...]:
        """A column of text; empty where the field is left out and not required."""
        values = self.column(key) if required else self.column(key, "")
        wrong = np.array([not isinstance(value, str) for value in values], dtype=bool)
        self.refuse(wrong, key, "use text")
        return tuple(values)

    def refuse(self, wrong: np.ndarray, key: str, remedy: str, problem: str = "") -> None:
        """Raise for the first record marked wrong, naming its id and its value."""
        if not wrong.any():
            return
        index = int(np.argmax(wrong))
        values = [self.records[index].get(part) for part in key.split(" and ")]
        shown = " and ".join(_short(value) for value in values)
        what = f"{key} {shown} {problem}" if problem else f"{key} is {shown}"
        raise InputError(self.path, f"{self._name(index)}: {what}", remedy)

    def _name(self, index: int) -> str:
        identity = self.records[index].get("id")
        shown = "" if identity is None else f" (id {_short(identity)})"
        return f"{self.section}[{index}]{shown}"


def _as_array(values: list[Any]) -> np.ndarray | None:
    """The values as an array of ints or floats; None if any is of another kind."""
    if not values:
        return np.empty(0, dtype=np.int64)
    if any(kind not in (int, float) for kind in set(map(type, values))):
        return None
    array = np.array(values)
    return array if array.dtype.kind in "if" else None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_whole(value: object) -> bool:
    """Whole numbers that fit 64 bits; pandas writes ids as 7.0, some tools crowds as true."""
    if isinstance(value, float):
        return value.is_integer() and abs(value) < 2**53
    return isinstance(value, int) and abs(value) < 2**63


def _short(value: object) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 40 else f"{text[:37]}..."
