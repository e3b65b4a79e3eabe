"""LabelMe: a JSON file a picture.

Source: wkentaro/labelme, labelme/_label_file.py and docs: shapes of `points`, image flags; a mask
is a base64 PNG in the frame of its two points.
"""

from __future__ import annotations

import base64
import io
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as mask_api

from omnicost.coco import load_json
from omnicost.data.imports.export import DrawnLabel, Export, Groups, Labelled, add_drawn, around
from omnicost.errors import InputError


def read_labelme(paths: list[Path]) -> Export:
    """The images of LabelMe's files; other JSON files among them are listed."""
    export = Export("labelme")
    for path in sorted(paths):
        try:
            content = load_json(path)
        except InputError as fault:
            export.skip("file that is not JSON", f"{path.name}: {fault.problem}")
            continue
        if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
            export.skip("file that is not LabelMe's", path.name)
            continue
        said = content.get("imagePath")
        name = said if isinstance(said, str) and said else path.stem
        drawn = tuple(_drawings(export, content, path.name))
        export.images.append(Labelled(name, drawn, _size(content)))
    return export


def _size(content: dict[str, Any]) -> tuple[int, int] | None:
    sides = content.get("imageHeight"), content.get("imageWidth")
    return sides if all(type(side) is int for side in sides) else None  # type: ignore[return-value]


def _drawings(export: Export, content: dict[str, Any], item: str) -> list[DrawnLabel]:
    flags = content.get("flags")
    tags = [name for name, on in flags.items() if on is True] if isinstance(flags, dict) else []
    drawn = [DrawnLabel(name) for name in tags]
    groups: Groups = {}
    for position, shape in enumerate(content["shapes"]):
        where = f"{item}, shape {position}"
        try:
            found = _shape(export, shape, where)
        except (ValueError, TypeError, KeyError, OSError, OverflowError, SyntaxError) as fault:
            export.skip("shape that cannot be read", f"{where}: {fault}")
            continue
        if found is None:
            continue
        group = shape.get("group_id")
        if isinstance(group, list | dict):
            export.skip("shape of an unreadable group, which stands alone", where)
            group = None
        add_drawn(drawn, groups, found, group)
    return drawn


def _shape(export: Export, shape: Any, item: str) -> DrawnLabel | None:
    label, form = shape["label"], shape.get("shape_type") or "polygon"
    if not isinstance(label, str) or not label.strip():
        export.skip("shape without a label", item)
        return None
    corners = np.array(shape["points"], np.float64).reshape(-1, 2)
    if form == "polygon" and len(corners) >= 3:
        return DrawnLabel(label, polygons=(tuple(corners.ravel().tolist()),))
    if form == "rectangle" and len(corners) in (2, 4):
        return DrawnLabel(label, box=around(corners))
    if form == "point" and len(corners) == 1:
        return DrawnLabel(label, point=tuple(corners[0].tolist()))
    if form == "mask" and len(corners) == 2:
        if not (np.abs(corners) < 2**31).all():
            raise ValueError("a frame that is no place in a picture")
        left, top = np.round(corners).min(axis=0).astype(int).tolist()
        return DrawnLabel(label, mask=partial(_mask, shape["mask"], left, top))
    export.skip(f"shape of type {form} with {len(corners)} points, which is not read", item)
    return None


def _mask(text: str, left: int, top: int, height: int, width: int) -> dict[str, Any]:
    try:
        with Image.open(io.BytesIO(base64.b64decode(text, validate=True))) as picture:
            drawn = np.asarray(picture.convert("L")) > 0
    except (TypeError, OSError, SyntaxError, Image.DecompressionBombError) as fault:
        raise ValueError(f"no picture of a mask ({type(fault).__name__})") from None
    bottom, right = top + drawn.shape[0], left + drawn.shape[1]
    if left < 0 or top < 0 or bottom > height or right > width:
        raise ValueError("a mask that leaves its picture")
    whole = np.zeros((height, width), np.uint8, order="F")
    whole[top:bottom, left:right] = drawn
    return mask_api.encode(whole)
