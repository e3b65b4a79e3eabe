"""CVAT for images 1.1: one XML file, read as a stream.

Source: https://docs.cvat.ai/docs/dataset_management/formats/format-cvat/ (box, polygon, points,
mask, tag); a mask's `rle` are run lengths row by row within its frame, the first of zeros.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from pycocotools import mask as mask_api

from omnicost.data.imports.export import (
    DrawnLabel,
    Export,
    Groups,
    Labelled,
    add_drawn,
    around,
    turned_box,
)
from omnicost.errors import InputError

_NOT_READ: Final = ("polyline", "cuboid", "ellipse", "skeleton")


def read_cvat(path: Path) -> Export:
    """The images of an export.

    Raises:
        InputError: if it is not XML, or XML that declares entities.
    """
    export = Export("cvat")
    for image in _images(path, export):
        name = image.get("name")
        item = f"image {image.get('id')} ({name})"
        if not name:
            export.skip("image without a name", item)
            continue
        drawn: list[DrawnLabel] = []
        groups: Groups = {}
        for position, shape in enumerate(image):
            try:
                found = _drawn(export, shape, f"{item}, {shape.tag} {position}")
            except (ValueError, TypeError, KeyError, OverflowError) as fault:
                export.skip("shape that cannot be read", f"{item}, {shape.tag} {position}: {fault}")
                continue
            if found is not None:
                group = shape.get("group_id")
                add_drawn(drawn, groups, found, None if group in ("", "0") else group)
        export.images.append(Labelled(name, tuple(drawn), _size(image)))
    return export


def _images(path: Path, export: Export) -> Iterator[Any]:
    """The image elements, each gone after its turn; the labels' names go into the export."""
    from xml.etree.ElementTree import ParseError

    from defusedxml.common import DefusedXmlException
    from defusedxml.ElementTree import iterparse

    try:
        for _, element in iterparse(str(path), forbid_dtd=True):
            if element.tag == "image":
                yield element
                element.clear()
            elif element.tag == "label" and (element.findtext("name") or "").strip():
                export.class_names.append(element.findtext("name"))
                element.clear()
    except ParseError as error:
        raise InputError(path, f"is not XML ({error})", "export it again") from None
    except DefusedXmlException:
        problem = "declares a document type or entities"
        raise InputError(path, problem, "give a file as CVAT exports it") from None


def _size(image: Any) -> tuple[int, int] | None:
    try:
        return int(image.get("height")), int(image.get("width"))
    except (TypeError, ValueError):
        return None


def _drawn(export: Export, shape: Any, item: str) -> DrawnLabel | None:
    form, label = shape.tag, shape.get("label") or ""
    if not label.strip():
        export.skip("shape without a label", item)
    elif form == "tag":
        return DrawnLabel(label)
    elif form == "box":
        return DrawnLabel(label, box=_box(export, shape, item))
    elif form in ("polygon", "points"):
        return _of_points(export, shape, item, label)
    elif form == "mask":
        sides = ("left", "top", "width", "height")
        left, top, width, height = (int(_written(shape, side)) for side in sides)
        runs = np.array([int(each) for each in _written(shape, "rle").split(",")], np.int64)
        if width < 1 or height < 1 or (runs < 0).any() or runs.sum() > width * height:
            raise ValueError("run lengths beyond the mask's frame")
        return DrawnLabel(label, mask=partial(_mask, runs, (left, top, width, height)))
    else:
        known = f"{form}, which is not read" if form in _NOT_READ else f"{form}, which is unknown"
        export.skip(f"shape of type {known}", item)
    return None


def _written(shape: Any, name: str) -> str:
    """An attribute that a shape needs."""
    text = shape.get(name)
    if text is None:
        raise ValueError(f"no {name}")
    return str(text)


def _box(export: Export, shape: Any, item: str) -> tuple[float, ...]:
    x0, y0, x1, y1 = (float(_written(shape, key)) for key in ("xtl", "ytl", "xbr", "ybr"))
    rotation = float(shape.get("rotation") or 0)
    if not rotation:
        return (x0, y0, x1, y1)
    export.skip("rotated box, an upright one drawn around it", item)
    centre = np.array([x0 + x1, y0 + y1]) / 2
    corners = turned_box(x0, y0, x1 - x0, y1 - y0, rotation)
    return around(corners - corners.mean(axis=0) + centre)  # CVAT turns boxes around their middle


def _of_points(export: Export, shape: Any, item: str, label: str) -> DrawnLabel | None:
    pairs = [pair.split(",") for pair in _written(shape, "points").split(";") if pair]
    corners = np.array(pairs, np.float64).reshape(-1, 2)
    if shape.tag == "polygon" and len(corners) >= 3:
        return DrawnLabel(label, polygons=(tuple(corners.ravel().tolist()),))
    if shape.tag == "points" and len(corners) == 1:
        return DrawnLabel(label, point=tuple(corners[0].tolist()))
    reasons = {"polygon": "polygon of fewer than three corners", "points": "several points as one"}
    export.skip(reasons[shape.tag], item)
    return None


def _mask(
    runs: np.ndarray, frame: tuple[int, int, int, int], height: int, width: int
) -> dict[str, Any]:
    left, top, frame_width, frame_height = frame
    if left < 0 or top < 0 or left + frame_width > width or top + frame_height > height:
        raise ValueError(f"a mask that leaves its picture of {width} x {height} pixels")
    values = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    drawn = np.zeros((frame_height, frame_width), bool)
    drawn.flat[: len(values)] = values
    whole = np.zeros((height, width), np.uint8, order="F")
    whole[top : top + frame_height, left : left + frame_width] = drawn
    return mask_api.encode(whole)
