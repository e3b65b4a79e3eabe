"""Segmentations of a COCO file to compressed COCO RLE."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import hotcoco.mask
import numpy as np
from pycocotools import mask as mask_api

FEWEST_COORDINATES: Final = 6  # three corners; pycocotools takes four numbers for a box
FARTHEST: Final = 10  # coordinates may stick out of the picture by so many times its longer side


def to_rle(segmentation: Any, height: int, width: int) -> bytes:
    """Compressed counts of a polygon list, an RLE of counts or a compressed RLE.

    Polygons of fewer than three corners have no area and are left out; nothing at all gives the
    empty mask.

    Raises:
        ValueError: if it is none of these, or an RLE of another size than the picture.
    """
    if isinstance(segmentation, Mapping):
        return _from_rle(segmentation, height, width)
    if not isinstance(segmentation, list):
        raise ValueError("segmentation is neither polygons nor RLE")
    if any(not isinstance(polygon, list) or len(polygon) % 2 for polygon in segmentation):
        raise ValueError("a polygon is not a list of x, y pairs")
    usable = [polygon for polygon in segmentation if len(polygon) >= FEWEST_COORDINATES]
    if not usable:
        return empty(height, width)
    _refuse_wild(usable, FARTHEST * max(height, width))
    rles = mask_api.frPyObjects(usable, height, width)
    return (rles[0] if len(rles) == 1 else mask_api.merge(rles))["counts"]


def degenerate(segmentation: Any) -> list[int]:
    """Corners of each polygon that has too few to be one; 0 of a list without any polygon."""
    if not isinstance(segmentation, list):
        return []
    lengths = [len(polygon) for polygon in segmentation] or [0]
    return [length // 2 for length in lengths if length < FEWEST_COORDINATES]


def _refuse_wild(polygons: list[list[float]], farthest: float) -> None:
    """Refuse what crashes pycocotools: anything but numbers, or outlines of endless length."""
    for polygon in polygons:
        try:
            total = math.fsum(polygon)
        except (TypeError, ValueError, OverflowError):
            total = math.nan
        if not math.isfinite(total):
            raise ValueError("a polygon has a coordinate that is not a finite number")
        if max(polygon) > farthest or min(polygon) < -farthest:
            raise ValueError("a polygon has a coordinate far outside the picture")


def encode(masks: np.ndarray) -> list[dict[str, Any]]:
    """Compressed COCO RLEs of ``(P, H, W) bool`` masks, in whatever order their pixels lie.

    hotcoco's, which are pycocotools' to the byte: it needs no copy that lies columns first, and
    other threads go on meanwhile.
    """
    if not len(masks):
        return []
    encoded: list[dict[str, Any]] = hotcoco.mask.encode(masks.transpose(1, 2, 0))
    return encoded


def empty(height: int, width: int) -> bytes:
    """Compressed counts of the mask without a pixel."""
    return compressed([height * width], height, width)


def compressed(runs: list[int], height: int, width: int) -> bytes:
    """Compressed counts of run lengths down the columns, the first of zeros."""
    rle = {"size": [height, width], "counts": runs}
    return mask_api.frPyObjects(rle, height, width)["counts"]


def run_lengths(counts: bytes) -> np.ndarray:
    """``(R,) int64`` run lengths of compressed counts, the first of zeros (maskApi.c, rleFrString).

    Raises:
        ValueError: if the text ends within a number or holds a byte outside the alphabet.
    """
    sixes = np.frombuffer(counts, np.uint8).astype(np.int64) - 48
    if len(sixes) == 0:
        return sixes
    if sixes.min() < 0 or sixes.max() > 63:
        raise ValueError("compressed RLE holds a byte outside its alphabet")
    ends = np.flatnonzero(sixes < 32)
    if len(ends) == 0 or ends[-1] != len(sixes) - 1:
        raise ValueError("compressed RLE ends within a number")
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    places = np.arange(len(sixes)) - np.repeat(starts, lengths)
    runs = np.add.reduceat((sixes & 31) << (5 * places), starts)
    runs -= np.where(sixes[ends] & 16, 1 << (5 * lengths), 0)  # the last digit carries the sign
    runs[1::2] = np.cumsum(runs[1::2])  # from the fourth on, a run is relative to the last but one
    runs[2::2] = np.cumsum(runs[2::2])
    return runs


def _from_rle(rle: Mapping[str, Any], height: int, width: int) -> bytes:
    size, counts = rle.get("size"), rle.get("counts")
    if size != [height, width]:
        raise ValueError(f"RLE size {size} is not the picture's [{height}, {width}]")
    if isinstance(counts, str):
        text = counts.encode("ascii", "replace")
        runs = run_lengths(text)
    elif isinstance(counts, list) and all(type(run) is int for run in counts):
        text = b""
        most = height * width + 1  # beyond it no sum is right, and numpy's integers end
        runs = np.array([min(max(run, -1), most) for run in counts], np.int64)
    else:
        raise ValueError("RLE counts are neither a list of integers nor a string")
    if (runs < 0).any() or runs.sum() != height * width:
        raise ValueError(f"RLE counts do not add to {height} x {width} pixels")
    return text or compressed(runs.tolist(), height, width)
