"""Label Studio's JSON export.

Coordinates are percent of the picture's sides. Sources: https://labelstud.io/guide/export and
https://labelstud.io/guide/task_format; a rectangle turns around its upper left corner.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

import numpy as np
from pycocotools import mask as mask_api

from omnicost.annotation import AnnotationType
from omnicost.coco.sections import MOST_PIXELS
from omnicost.data.exports.brush import brush_mask
from omnicost.data.imports.agree import agreed
from omnicost.data.imports.export import DrawnLabel, Export, Labelled, around, turned_box
from omnicost.labelling.annotators import Annotators

PERCENT: Final = 100.0
LABELS: Final = ("rectanglelabels", "polygonlabels", "brushlabels", "keypointlabels", "labels")


def read_label_studio(tasks: list[Any], annotators: Annotators = Annotators.LAST) -> Export:
    """The images of an export, one a task."""
    export = Export("label-studio")
    for position, task in enumerate(tasks):
        item = f"task {task.get('id', position)}" if isinstance(task, dict) else f"task {position}"
        name = _name(task)
        if name is None:
            export.skip("task without a picture", item)
            continue
        export.images.append(_image(export, task, item, name, annotators))
    return export


def _name(task: Any) -> str | None:
    data = task.get("data") if isinstance(task, dict) else None
    if not isinstance(data, dict):
        return None
    texts = [data.get("file_name"), data.get("image"), *data.values(), task.get("file_upload")]
    return next((each for each in texts if isinstance(each, str) and each), None)


def _image(
    export: Export, task: dict[str, Any], item: str, name: str, annotators: Annotators
) -> Labelled:
    said = task["data"].get("annotation_type")
    declared = next((each for each in AnnotationType if each == said), None)
    done = list(_done(export, task, item))
    read = [_regions(export, each, f"{item}, annotation {each.get('id')}") for each in done]
    sizes = [size for _, size in read if size is not None]
    return Labelled(
        name=name,
        drawn=_chosen([drawn for drawn, _ in read], annotators),
        size=sizes[-1] if sizes else None,
        declared=declared if done else AnnotationType.NONE,
        relative=True,
        seen=bool(done),
    )


def _chosen(read: Sequence[Sequence[DrawnLabel]], annotators: Annotators) -> tuple[DrawnLabel, ...]:
    if not read:
        return ()
    if annotators is Annotators.ALL:
        return tuple(each for drawn in read for each in drawn)
    return tuple(read[-1]) if annotators is Annotators.LAST else agreed(read)


def _done(export: Export, task: dict[str, Any], item: str) -> Iterable[dict[str, Any]]:
    """Annotations that were handed in, the earliest first."""
    annotations = task.get("annotations", task.get("completions"))
    listed = annotations if isinstance(annotations, list) else []
    objects = (each for each in listed if isinstance(each, dict))
    for each in sorted(objects, key=lambda one: str(one.get("updated_at") or "")):
        if each.get("was_cancelled"):
            export.skip("annotation that was cancelled", f"{item}, annotation {each.get('id')}")
        elif isinstance(each.get("result"), list):
            yield each
        else:
            export.skip("annotation without a result", f"{item}, annotation {each.get('id')}")


def _regions(
    export: Export, annotation: dict[str, Any], item: str
) -> tuple[list[DrawnLabel], tuple[int, int] | None]:
    """What one annotator drew, and the size of the picture that it was drawn on."""
    parts: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for position, each in enumerate(annotation["result"]):
        if isinstance(each, dict):
            parts[str(each.get("id", f"number {position}"))].append(each)
        else:
            export.skip("region that is no object", f"{item}, number {position}")
    drawn: list[DrawnLabel] = []
    size = None
    for name, together in parts.items():
        try:
            drawn += _region(export, together, f"{item}, region {name}", name)
            size = _size(together) or size
        except (ValueError, TypeError, KeyError, OverflowError, AttributeError) as fault:
            export.skip("region that cannot be read", f"{item}, region {name}: {fault}")
    return drawn, size


def _size(parts: list[dict[str, Any]]) -> tuple[int, int] | None:
    for each in parts:
        height, width = each.get("original_height"), each.get("original_width")
        if isinstance(height, int) and isinstance(width, int) and 0 < height * width <= MOST_PIXELS:
            return height, width
    return None


def _region(export: Export, parts: list[dict[str, Any]], item: str, name: str) -> list[DrawnLabel]:
    """The shape and the labels of one region, which older projects give as parts of one id."""
    names = [text for part in parts for text in _texts(part.get("value"))]
    shape = next((part for part in parts if _is_shape(part)), None)
    if shape is None:
        if not names:
            export.skip(f"region of type {parts[0].get('type')}, which is not read", item)
        return [DrawnLabel(text) for text in names]
    if shape.get("image_rotation"):
        export.skip("region on a picture turned in the tool", item)
        return []
    if not names:
        export.skip("region without a label", item)
        return []
    if len(names) > 1:
        export.skip("region of several labels, the first taken", item)
    number = int(name) if name.isdecimal() and len(name) < 18 else None
    drawn = _shape(export, shape, item, names[0])
    return [] if drawn is None else [replace(drawn, number=number)]


def _texts(value: Any) -> list[str]:
    """Labels of a region; tags of an image; of a taxonomy the lowest level."""
    if not isinstance(value, dict):
        return []
    found = [value.get(key) for key in (*LABELS, "choices")]
    names = [text for each in found if isinstance(each, list) for text in each]
    taxonomy = value.get("taxonomy")
    names += [path[-1] for path in taxonomy if path] if isinstance(taxonomy, list) else []
    return [text for text in names if isinstance(text, str) and text.strip()]


def _is_shape(part: dict[str, Any]) -> bool:
    value = part.get("value")
    return isinstance(value, dict) and not {"x", "points", "rle"}.isdisjoint(value)


def _shape(export: Export, part: dict[str, Any], item: str, label: str) -> DrawnLabel | None:
    value, form = part["value"], str(part.get("type", "")).removesuffix("labels")
    if form == "brush":
        height, width = int(part["original_height"]), int(part["original_width"])
        drawn = np.asfortranarray(brush_mask(value["rle"], height, width), np.uint8)
        return DrawnLabel(label, mask=partial(_brush, mask_api.encode(drawn)))
    if form == "polygon":
        outline = np.array(value["points"], np.float64).reshape(-1, 2) / PERCENT
        if len(outline) < 3:
            export.skip("polygon of fewer than three corners", item)
            return None
        return DrawnLabel(label, polygons=(tuple(outline.ravel().tolist()),))
    if form == "keypoint":
        return DrawnLabel(label, point=(value["x"] / PERCENT, value["y"] / PERCENT))
    if form == "rectangle":
        return DrawnLabel(label, box=_box(export, part, item))
    export.skip(f"region of type {part.get('type')}, which is not read", item)
    return None


def _box(export: Export, part: dict[str, Any], item: str) -> tuple[float, ...]:
    value = part["value"]
    x, y, width, height = (float(value[key]) / PERCENT for key in ("x", "y", "width", "height"))
    rotation = float(value.get("rotation") or 0)
    if not rotation:
        return (x, y, x + width, y + height)
    export.skip("rotated box, an upright one drawn around it", item)
    sides = np.array([part["original_width"], part["original_height"]], np.float64)
    corners = turned_box(x * sides[0], y * sides[1], width * sides[0], height * sides[1], rotation)
    return around(np.clip(corners / sides, 0, 1))


def _brush(rle: dict[str, Any], height: int, width: int) -> dict[str, Any]:
    if rle["size"] != [height, width]:
        raise ValueError(f"a brush on another picture than {width} x {height} pixels")
    return rle
