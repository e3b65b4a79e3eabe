"""COCO-format annotation files to columns."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as mask_api

from omnicost.data.columns import Columns, Header, SizeBounds, offsets
from omnicost.data.rle import to_rle
from omnicost.errors import InputError

Progress = Callable[[int, int], None]


def silent(done: int, total: int) -> None:
    """Report progress to nobody."""


def read_coco(path: Path, progress: Progress = silent) -> tuple[Header, Columns]:
    """The columns of a COCO-format file: polygons, RLE of either kind, crowds, sparse ids.

    Size bounds are COCO's, or those of ``info.size_bounds: [small, medium]`` in the file.

    Raises:
        InputError: if the file is not COCO json, or its parts do not refer to each other.
    """
    content = _parse(path)
    try:
        header = _header(content, path)
        return header, _columns(content, header, path, progress)
    except (KeyError, TypeError, AttributeError) as fault:
        raise InputError(
            path, f"not a COCO file ({type(fault).__name__}: {fault})", "see `omnicost data check`"
        ) from None


def _parse(path: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError) as fault:
        raise InputError(path, f"cannot be read as JSON ({fault})", "give a COCO file") from None
    missing = {"images", "annotations", "categories"} - set(content)
    if missing:
        raise InputError(path, f"has no {', '.join(sorted(missing))}", "give a COCO file")
    return content


def _header(content: Mapping[str, Any], path: Path) -> Header:
    categories = sorted(content["categories"], key=lambda each: each["id"])
    if not categories:
        raise InputError(path, "has no category", "name the classes under `categories`")
    bounds = content.get("info", {}).get("size_bounds")
    return Header(
        class_names=tuple(str(each["name"]) for each in categories),
        category_ids=tuple(int(each["id"]) for each in categories),
        size_bounds=SizeBounds(*map(float, bounds)) if bounds else SizeBounds(),
    )


def _columns(content: Mapping[str, Any], header: Header, path: Path, progress: Progress) -> Columns:
    images = sorted(content["images"], key=lambda each: each["id"])
    image_ids = _unique_ids(images, path, "image")
    sizes = np.array([[each["height"], each["width"]] for each in images], np.int32).reshape(-1, 2)
    annotations = content["annotations"]
    _unique_ids(annotations, path, "annotation")
    owners = _lookup(image_ids, annotations, "image_id", path)
    classes = _lookup(np.array(header.category_ids), annotations, "category_id", path)
    order = np.lexsort(([each["id"] for each in annotations], owners)).astype(np.int64)
    ordered = [annotations[each] for each in order.tolist()]
    rles = _rles(ordered, sizes[owners[order]], path, progress)
    return Columns(
        image_ids=image_ids,
        file_names=np.array([str(each["file_name"]) for each in images], np.str_),
        sizes=sizes,
        first_annotation=offsets(np.bincount(owners, minlength=len(images))),
        annotation_ids=np.array([each["id"] for each in ordered], np.int64),
        class_indices=classes[order],
        boxes=_boxes(ordered, rles, sizes[owners[order]]),
        areas=_areas(ordered, rles, sizes[owners[order]]),
        is_crowd=np.array([bool(each.get("iscrowd", 0)) for each in ordered], bool),
        rle_offsets=offsets(np.array([len(rle) for rle in rles], np.int64)),
        rle_bytes=np.frombuffer(b"".join(rles), np.uint8),
    )


def _unique_ids(entries: Sequence[Mapping[str, Any]], path: Path, what: str) -> np.ndarray:
    ids = np.array([each["id"] for each in entries], np.int64)
    found, counts = np.unique(ids, return_counts=True)
    if len(found) != len(ids):
        twice = int(found[counts > 1][0])
        raise InputError(path, f"{what} id {twice} occurs twice", "give every entry its own id")
    return ids


def _lookup(
    known: np.ndarray, annotations: Sequence[Mapping[str, Any]], key: str, path: Path
) -> np.ndarray:
    """Position of each annotation's `key` in the ascending ids `known`."""
    wanted = np.array([each[key] for each in annotations], np.int64)
    if not len(wanted):
        return wanted
    positions = np.searchsorted(known, wanted)
    found = positions < len(known)
    found[found] = known[positions[found]] == wanted[found]
    if not found.all():
        n = int(np.flatnonzero(~found)[0])
        raise InputError(
            path,
            f"annotation id {annotations[n]['id']} has the unknown {key} {wanted[n]}",
            "add it or drop the annotation; `omnicost data check` lists all such faults",
        )
    return positions


def _rles(
    annotations: Sequence[Mapping[str, Any]], sizes: np.ndarray, path: Path, progress: Progress
) -> list[bytes]:
    rles = []
    for done, (each, (height, width)) in enumerate(zip(annotations, sizes.tolist(), strict=True)):
        try:
            rles.append(to_rle(each["segmentation"], height, width))
        except ValueError as fault:
            where = f"{path}: annotation id {each['id']}"
            raise InputError(where, str(fault), "see `omnicost data check`") from None
        if done % 1000 == 0:
            progress(done, len(annotations))
    return rles


def _as_rle(counts: bytes, size: np.ndarray) -> dict[str, Any]:
    return {"size": size.tolist(), "counts": counts}


def _boxes(
    annotations: Sequence[Mapping[str, Any]], rles: Sequence[bytes], sizes: np.ndarray
) -> np.ndarray:
    """The file's boxes as corners; the masks' own where the file has none."""
    given = [
        each["bbox"] if each.get("bbox") else mask_api.toBbox(_as_rle(counts, size)).tolist()
        for each, counts, size in zip(annotations, rles, sizes, strict=True)
    ]
    boxes = np.array(given, np.float64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return boxes.astype(np.float32)


def _areas(
    annotations: Sequence[Mapping[str, Any]], rles: Sequence[bytes], sizes: np.ndarray
) -> np.ndarray:
    given = [
        each["area"] if "area" in each else mask_api.area(_as_rle(counts, size))
        for each, counts, size in zip(annotations, rles, sizes, strict=True)
    ]
    return np.array(given, np.float64)
