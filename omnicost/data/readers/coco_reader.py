"""COCO-format annotation files to columns."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pycocotools import mask as mask_api

from omnicost.coco import CocoFile, Faults, read_coco
from omnicost.coco.decode import CHUNK, segmentation_of
from omnicost.coco.faults import shown
from omnicost.coco.given import CLASS, MASK, POINT
from omnicost.data.columns import Columns, Header, SizeBounds, offsets
from omnicost.data.rle import degenerate, empty, to_rle
from omnicost.errors import InputError
from omnicost.progress import Progress, silent

CHECK = "`omnicost data check` lists all faults"


def read_coco_columns(path: Path, progress: Progress = silent) -> tuple[Header, Columns]:
    """The columns of a COCO-format file: polygons, RLE of either kind, crowds, sparse ids.

    Classes are in order of category id. Size bounds are COCO's, or those that the file gives as
    ``info.size_bounds: [small, medium]``. Boxes and areas are the file's, or the mask's where it
    has none. Given labels: `omnicost.coco.given`.

    Raises:
        InputError: for the first fault that leaves an instance without meaning.
    """
    faults = Faults(path)
    return columns_of(require_pictures(read_coco(path), faults), faults, progress)


def size_bounds(info: Any, path: Path) -> SizeBounds:
    """The areas that part small, medium and large, from the file's `info`.

    Raises:
        InputError: if it gives something else than two ascending areas.
    """
    given = info.get("size_bounds") if isinstance(info, dict) else None
    if given is None:
        return SizeBounds()
    try:
        small, medium = given
        bounds = SizeBounds(float(small), float(medium))
        usable = 0 < bounds.small <= bounds.medium < float("inf")
    except (TypeError, ValueError, OverflowError):
        usable = False
    if not usable:
        remedy = "give [small, medium], two ascending areas in pixels"
        raise InputError(f"{path}: info.size_bounds", f"is {shown(given)}", remedy)
    return bounds


def columns_of(
    file: CocoFile, faults: Faults, progress: Progress = silent
) -> tuple[Header, Columns]:
    """Header and columns of a validated file, in canonical order, masks as compressed RLE.

    Args:
        file: the validated file.
        faults: where masks that cannot be read go; those count as empty where faults are kept.
        progress: told of annotations.

    Raises:
        InputError: if a picture has no name or size, or a segmentation is not one.
    """
    images, categories = np.argsort(file.image_ids), np.argsort(file.category_ids)
    owners = np.argsort(images)[file.image_indices]  # of a permutation that is its inverse
    order = np.lexsort((file.annotation_ids, owners))
    counts = np.bincount(owners, minlength=len(images))
    sizes = file.image_sizes[images]
    types = None if file.types is None else file.types[images]
    shapes = _all_shapes(file, order, sizes[owners[order]], faults, progress)
    header = Header(
        class_names=tuple(file.category_names[each] for each in categories),
        category_ids=tuple(file.category_ids[categories].tolist()),
        size_bounds=size_bounds(file.info, file.path),
    )
    return header, Columns(
        image_ids=file.image_ids[images],
        file_names=np.array([file.file_names[each] for each in images], np.str_),
        sizes=sizes.astype(np.int32),
        first_annotation=offsets(counts),
        annotation_ids=file.annotation_ids[order],
        class_indices=np.argsort(categories)[file.class_indices[order]],
        is_crowd=file.is_crowd[order],
        given=types,
        **shapes,
    )


def require_pictures(file: CocoFile, faults: Faults) -> CocoFile:
    """The file without pictures that have no name or no size.

    Raises:
        InputError: for the first of them, unless faults are collected.
    """
    nameless = np.array([not name for name in file.file_names], bool)
    sizeless = (file.image_sizes <= 0).any(axis=1)
    for wrong, fault, what in (
        (nameless, "image without file name", "has no file_name"),
        (sizeless, "image without size", "has no height and width"),
    ):
        for index in np.flatnonzero(wrong).tolist():
            number = file.image_ids[index]
            faults.add(fault, f"image {number}", f"image id {number}", what, "add it")
    return file.of_images(~(nameless | sizeless))


class _Shapes(NamedTuple):
    """What a block of N annotations draws."""

    rles: list[bytes]
    boxes: np.ndarray  # (N, 4) float64, x0 y0 x1 y1
    areas: np.ndarray  # (N,) float64
    points: np.ndarray  # (N, 2) float64; as read unless labels are given


def _all_shapes(
    file: CocoFile, order: np.ndarray, sizes: np.ndarray, faults: Faults, progress: Progress
) -> dict[str, Any]:
    """What the annotations in that order draw, as `Columns` hold it, packed a block at a time.

    Ten million masks as Python's objects would take as much again as the columns do.
    """
    total = len(order)
    packed, lengths = bytearray(), np.empty(total, np.int64)
    boxes, areas = np.empty((total, 4), np.float32), np.empty(total)
    points = np.empty((total, 2), np.float32)
    for start in range(0, total, CHUNK):
        part = slice(start, min(start + CHUNK, total))
        shapes = _shapes(file, order[part], sizes[part], faults)
        packed += b"".join(shapes.rles)
        lengths[part] = [len(counts) for counts in shapes.rles]
        boxes[part], areas[part], points[part] = shapes.boxes, shapes.areas, shapes.points
        progress(part.stop, total, {})
    return {
        "boxes": boxes,
        "areas": areas,
        "rle_offsets": offsets(lengths),
        "rle_bytes": np.frombuffer(packed, np.uint8),
        "points": None if file.types is None else points,
    }


def _shapes(file: CocoFile, order: np.ndarray, sizes: np.ndarray, faults: Faults) -> _Shapes:
    """Masks, boxes, areas and points of some annotations, sizes of their pictures."""
    types = None if file.types is None else file.types[file.image_indices[order]]
    boxes, areas, points = file.boxes[order], file.areas[order], file.points[order]
    needed = np.ones(len(order), bool)
    if types is not None:
        needed = (types == MASK) | ((file.drawn[order] == MASK) & (types > CLASS))
    rows = zip(order.tolist(), sizes.tolist(), needed.tolist(), strict=True)
    rles = [_rle(file, row, size, faults) if wanted else empty(*size) for row, size, wanted in rows]
    for n in np.flatnonzero(np.isnan(boxes[:, 0]) & needed).tolist():
        boxes[n] = mask_api.toBbox({"size": sizes[n].tolist(), "counts": rles[n]})
    for n in np.flatnonzero(np.isnan(areas) & needed).tolist():
        areas[n] = mask_api.area({"size": sizes[n].tolist(), "counts": rles[n]})
    boxes[:, 2:] += boxes[:, :2]
    shapes = _Shapes(rles, boxes, areas, points)
    return shapes if types is None else _reduced(shapes, types, sizes)


def _reduced(shapes: _Shapes, types: np.ndarray, sizes: np.ndarray) -> _Shapes:
    """Each annotation as what the type of its image says, and nothing more."""
    rles, boxes, areas = shapes.rles, shapes.boxes, shapes.areas
    points = np.full((len(types), 2), np.nan)
    for n in np.flatnonzero(types == POINT).tolist():
        points[n] = _point(shapes, n, sizes[n].tolist())
    boxes[types == POINT] = np.tile(points[types == POINT], 2)
    boxes[types == CLASS] = 0
    weak = types < MASK
    areas[weak] = (boxes[weak, 2:] - boxes[weak, :2]).prod(axis=1)
    for n in np.flatnonzero(weak).tolist():
        rles[n] = empty(*sizes[n].tolist())
    return _Shapes(rles, boxes, areas, points)


def _point(shapes: _Shapes, n: int, size: list[int]) -> np.ndarray:
    """The point given; else the middle pixel of the mask, else the middle of the box."""
    if not np.isnan(shapes.points[n, 0]):
        return shapes.points[n]
    pixels = np.flatnonzero(mask_api.decode({"size": size, "counts": shapes.rles[n]}).ravel("F"))
    if not len(pixels):
        return shapes.boxes[n].reshape(2, 2).mean(axis=0)
    column, row = divmod(int(pixels[len(pixels) // 2]), size[0])
    return np.array([column + 0.5, row + 0.5])


def _rle(file: CocoFile, row: int, size: list[int], faults: Faults) -> bytes:
    """Compressed counts of an annotation's mask; a faulty one is told, and empty."""
    item, (height, width) = f"annotation {file.annotation_ids[row]}", size
    try:
        drawing = segmentation_of(file.segmentations[row])
        for corners in degenerate(drawing) if faults.collect else ():
            faults.note("degenerate polygon", item, f"{corners} corners")
        return to_rle(drawing, height, width)
    except (ValueError, RecursionError) as fault:
        where = f"annotation id {file.annotation_ids[row]}"
        remedy = "mend or drop it" if faults.collect else f"mend or drop it; {CHECK}"
        faults.add("unreadable mask", item, where, str(fault), remedy)
        return empty(height, width)
