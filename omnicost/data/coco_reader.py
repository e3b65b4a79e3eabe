"""COCO-format annotation files to columns."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pycocotools import mask as mask_api

from omnicost.coco import CocoFile, load_json, parse_coco
from omnicost.data.columns import Columns, Header, SizeBounds, offsets
from omnicost.data.rle import empty, to_rle
from omnicost.errors import InputError
from omnicost.progress import Progress, silent

OnFault = Callable[[int, str], None]  # annotation id, what is wrong with its mask
CHECK = "`omnicost data check` lists all faults"


def read_coco_columns(path: Path, progress: Progress = silent) -> tuple[Header, Columns]:
    """The columns of a COCO-format file: polygons, RLE of either kind, crowds, sparse ids.

    Classes are in order of category id. Size bounds are COCO's, or those that the file gives as
    ``info.size_bounds: [small, medium]``. Boxes and areas are the file's, or the mask's where it
    has none.

    Raises:
        InputError: for the first fault that leaves an instance without meaning.
    """
    data = load_json(path)
    file = parse_coco(data, path)
    bounds = size_bounds(data, path)
    del data  # the parsed json of COCO's size takes gigabytes; the segmentations stay
    return columns_of(file, bounds, progress)


def size_bounds(data: Any, path: Path) -> SizeBounds:
    """The areas that part small, medium and large, from the file's `info`.

    Raises:
        InputError: if it gives something else than two ascending areas.
    """
    info = data.get("info") if isinstance(data, dict) else None
    given = info.get("size_bounds") if isinstance(info, dict) else None
    if given is None:
        return SizeBounds()
    try:
        small, medium = given
        bounds = SizeBounds(float(small), float(medium))
        usable = 0 < bounds.small <= bounds.medium < float("inf")
    except (TypeError, ValueError):
        usable = False
    if not usable:
        remedy = "give [small, medium], two ascending areas in pixels"
        raise InputError(f"{path}: info.size_bounds", f"is {given!r}", remedy)
    return bounds


def columns_of(
    file: CocoFile,
    bounds: SizeBounds,
    progress: Progress = silent,
    on_fault: OnFault | None = None,
) -> tuple[Header, Columns]:
    """Header and columns of a validated file, in canonical order, masks as compressed RLE.

    Args:
        file: the validated file.
        bounds: goes into the header.
        progress: called with (done, total) annotations.
        on_fault: called with annotation id and fault of a mask that cannot be read, which then
            counts as empty; without it the first one raises.

    Raises:
        InputError: if a picture has no name or size, or a segmentation is not one.
    """
    _require_pictures(file)
    images, categories = np.argsort(file.image_ids), np.argsort(file.category_ids)
    owners = _ranks(images)[file.image_indices]
    order = np.lexsort((file.annotation_ids, owners))
    counts = np.bincount(owners, minlength=len(images))
    sizes = file.image_sizes[images]
    masks = _masks(file, order, np.repeat(sizes, counts, axis=0), progress, on_fault)
    header = Header(
        class_names=tuple(file.category_names[each] for each in categories),
        category_ids=tuple(file.category_ids[categories].tolist()),
        size_bounds=bounds,
    )
    return header, Columns(
        image_ids=file.image_ids[images],
        file_names=np.array([file.file_names[each] for each in images], np.str_),
        sizes=sizes.astype(np.int32),
        first_annotation=offsets(counts),
        annotation_ids=file.annotation_ids[order],
        class_indices=_ranks(categories)[file.class_indices[order]],
        boxes=masks.boxes.astype(np.float32),
        areas=masks.areas,
        is_crowd=file.is_crowd[order],
        rle_offsets=offsets(np.array([len(counts) for counts in masks.rles], np.int64)),
        rle_bytes=np.frombuffer(b"".join(masks.rles), np.uint8),
    )


class _Masks(NamedTuple):
    rles: list[bytes]
    boxes: np.ndarray  # (A, 4) float64, x0 y0 x1 y1
    areas: np.ndarray  # (A,) float64


def _ranks(order: np.ndarray) -> np.ndarray:
    """The inverse of a permutation."""
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.arange(len(order))
    return ranks


def _require_pictures(file: CocoFile) -> None:
    nameless = [not name for name in file.file_names]
    sizeless = (file.image_sizes <= 0).any(axis=1)
    for wrong, what in ((np.array(nameless, bool), "file_name"), (sizeless, "height and width")):
        if wrong.any():
            image_id = file.image_ids[int(np.argmax(wrong))]
            raise InputError(f"{file.path}: image id {image_id}", f"has no {what}", "add it")


def _masks(
    file: CocoFile,
    order: np.ndarray,
    sizes: np.ndarray,
    progress: Progress,
    on_fault: OnFault | None,
) -> _Masks:
    """Masks, boxes and areas of the annotations in that order; `sizes` are of their pictures."""
    rles = _rles(file, order, sizes, progress, on_fault or _refuse(file))
    boxes, areas = file.boxes[order], file.areas[order].copy()
    for n in np.flatnonzero(np.isnan(boxes[:, 0])).tolist():
        boxes[n] = mask_api.toBbox({"size": sizes[n].tolist(), "counts": rles[n]})
    for n in np.flatnonzero(np.isnan(areas)).tolist():
        areas[n] = mask_api.area({"size": sizes[n].tolist(), "counts": rles[n]})
    boxes[:, 2:] += boxes[:, :2]
    return _Masks(rles, boxes, areas)


def _refuse(file: CocoFile) -> OnFault:
    def refuse(annotation_id: int, fault: str) -> None:
        where = f"{file.path}: annotation id {annotation_id}"
        raise InputError(where, fault, f"mend or drop it; {CHECK}")

    return refuse


def _rles(
    file: CocoFile, order: np.ndarray, sizes: np.ndarray, progress: Progress, on_fault: OnFault
) -> list[bytes]:
    rles: list[bytes] = []
    for row, (height, width) in zip(order.tolist(), sizes.tolist(), strict=True):
        try:
            rles.append(to_rle(file.segmentations[row], height, width))
        except ValueError as fault:
            on_fault(int(file.annotation_ids[row]), str(fault))
            rles.append(empty(height, width))
        if len(rles) % 1000 == 0:
            progress(len(rles), len(order), {})
    progress(len(order), len(order), {})
    return rles
