"""Faults of the records of a COCO-format file, all of them, before anything is built on them."""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterable
from typing import Any, NamedTuple

from omnicost.errors import InputError

Record = dict[str, Any]
Problem = tuple[str, str]  # kind, detail


class Fault(NamedTuple):
    """One thing that is wrong."""

    kind: str  # such as "missing picture"
    item: str  # such as "image 4"
    detail: str


class Sound(NamedTuple):
    """What is left of a file without its faulty records."""

    data: dict[str, list[Record]]
    faults: list[Fault]


def sound_records(data: Any, where: object) -> Sound:
    """Split a COCO file's records into the usable ones and the faults.

    Raises:
        InputError: if it is not the data of a COCO-format file at all.
    """
    if not isinstance(data, dict):
        raise InputError(where, "holds no object", "give a COCO-format file")
    sections = {name: data.get(name) for name in ("images", "annotations", "categories")}
    for name, records in sections.items():
        if not isinstance(records, list):
            raise InputError(where, f"has no list of {name}", "give a COCO-format file")
    faults: list[Fault] = []
    images = _usable("image", sections["images"] or [], _image_problems(), faults)
    categories = _usable("category", sections["categories"] or [], _category_problems(), faults)
    known = {each["id"] for each in images}, {each["id"] for each in categories}
    annotations = _usable(
        "annotation", sections["annotations"] or [], _annotation_problems(*known), faults
    )
    return Sound({"images": images, "annotations": annotations, "categories": categories}, faults)


def _usable(
    noun: str,
    records: Iterable[Any],
    problems: Callable[[Record], Iterable[Problem]],
    faults: list[Fault],
) -> list[Record]:
    """The records without a problem; the others' problems are added to `faults`."""
    usable, seen = [], set()
    for position, record in enumerate(records):
        number = record.get("id") if isinstance(record, dict) else None
        if type(number) is not int:
            faults.append(Fault(f"{noun} without id", f"{noun}s[{position}]", f"id is {number!r}"))
            continue
        found = list(problems(record))
        if number in seen:
            found.insert(0, (f"duplicate {noun} id", "occurs before in the file"))
        seen.add(number)
        faults.extend(Fault(kind, f"{noun} {number}", detail) for kind, detail in found)
        if not found:
            usable.append(record)
    return usable


def _image_problems() -> Callable[[Record], Iterable[Problem]]:
    names: set[str] = set()

    def problems(record: Record) -> Iterable[Problem]:
        name, sides = record.get("file_name"), (record.get("height"), record.get("width"))
        if not isinstance(name, str) or not name:
            yield "image without file name", f"file_name is {name!r}"
        elif name in names:
            yield "duplicate file name", name
        else:
            names.add(name)
        if any(type(side) is not int or side < 1 for side in sides):
            yield "image without size", f"height and width are {sides[0]!r} and {sides[1]!r}"

    return problems


def _category_problems() -> Callable[[Record], Iterable[Problem]]:
    names: set[str] = set()

    def problems(record: Record) -> Iterable[Problem]:
        name = record.get("name")
        if not isinstance(name, str) or not name:
            yield "category without name", f"name is {name!r}"
        elif name in names:
            yield "duplicate category name", name
        else:
            names.add(name)

    return problems


def _annotation_problems(
    images: Container[int], categories: Container[int]
) -> Callable[[Record], Iterable[Problem]]:
    def problems(record: Record) -> Iterable[Problem]:
        for key, known, kind in (
            ("image_id", images, "unknown image"),
            ("category_id", categories, "unknown category"),
        ):
            value = record.get(key)
            if type(value) is not int or value not in known:
                yield kind, f"{key} is {value!r}"
        if record.get("iscrowd", 0) not in (0, 1):
            yield "faulty crowd flag", f"iscrowd is {record['iscrowd']!r}"
        if record.get("bbox") is not None and not _is_box(record["bbox"]):
            yield "faulty box", f"bbox is {record['bbox']!r}"
        if record.get("area") is not None and not _is_size(record["area"]):
            yield "faulty area", f"area is {record['area']!r}"
        yield from _degenerate(record.get("segmentation"))

    return problems


def _degenerate(segmentation: Any) -> Iterable[Problem]:
    if not isinstance(segmentation, list):
        return
    if not segmentation:
        yield "degenerate polygon", "no polygon at all"
    for polygon in segmentation:
        if isinstance(polygon, list) and len(polygon) % 2 == 0 and len(polygon) < 6:
            yield "degenerate polygon", f"{len(polygon) // 2} corners"


def _is_box(value: Any) -> bool:
    if not isinstance(value, list) or len(value) != 4 or not all(map(_is_number, value)):
        return False
    return value[2] >= 0 and value[3] >= 0


def _is_size(value: Any) -> bool:
    return _is_number(value) and value >= 0


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)
