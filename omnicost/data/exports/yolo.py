"""YOLO: `data.yaml`, and a text file a picture; outlines of masks, boxes of boxes.

Source: https://docs.ultralytics.com/datasets/segment/: a line holds one outline, so parts and holes
of a mask are joined by lines without width, there and back.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import yaml
from pycocotools import mask as mask_api

from omnicost.data.exports.pieces import write_texts
from omnicost.data.exports.regions import LabelledSet, Region
from omnicost.errors import InputError
from omnicost.files import MARK, refuse_to_replace
from omnicost.progress import Progress, silent


class YoloCounts(NamedTuple):
    """What was written, and what the format has no place for."""

    instances: int
    left_out: int  # points, tags, and masks without a pixel


def refuse_yolo(folder: Path, force: bool = False) -> None:
    """Refuse a folder of somebody else's labels: `data.yaml` says whose they are.

    Raises:
        InputError: naming what would be replaced, unless `force`.
    """
    described = folder / "data.yaml"
    refuse_to_replace(described, force=force)
    if not force and (folder / "labels").exists() and not described.exists():
        problem = "exists and was not written by omnicost"
        raise InputError(folder / "labels", problem, "name another folder, or `force`")


def write_yolo(folder: Path, labels: LabelledSet, progress: Progress = silent) -> YoloCounts:
    """Write `data.yaml` and `labels/`, which go beside `images/`.

    An image of boxes gets lines of boxes, one of masks outlines. Points and tags have no line.

    Raises:
        InputError: if it cannot be written, or two pictures differ in their ending only.
    """
    dataset, written, left_out = labels.dataset, 0, 0
    names = [PurePosixPath(str(name)).with_suffix(".txt") for name in dataset.file_names]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        where = f"{dataset.name}: {twice.with_suffix('')}"
        raise InputError(where, "two pictures differ in their ending only", "rename one of them")
    for index, name in enumerate(names):
        height, width = dataset.sizes[index].tolist()
        lines = [_line(each, height, width) for each in labels.regions(index)]
        written += sum(line != "" for line in lines)
        left_out += lines.count("")
        write_texts(folder / "labels" / name, lines)
        progress(index + 1, len(names), {})
    described = {"path": ".", "train": "images", "val": "images"}
    described |= {"names": dict(enumerate(dataset.class_names))}  # type: ignore[dict-item]
    text = yaml.safe_dump(described, sort_keys=False, allow_unicode=True)
    write_texts(folder / "data.yaml", [f"# {MARK}\n", text])
    return YoloCounts(written, left_out)


def _line(region: Region, height: int, width: int) -> str:
    """A region's line; nothing for a point, a tag or a mask without a pixel."""
    if region.rle is not None:
        parts = outlines(region.rle)
        if not parts:
            return ""
        outline = joined(parts)
        shares = (outline / [width, height]).ravel().tolist()
    elif region.box is not None:
        x0, y0, x1, y1 = region.box
        shares = [(x0 + x1) / 2 / width, (y0 + y1) / 2 / height, (x1 - x0) / width]
        shares.append((y1 - y0) / height)
    else:
        return ""
    return f"{region.class_index} {' '.join(f'{share:.6g}' for share in shares)}\n"


def outlines(rle: dict[str, Any]) -> list[np.ndarray]:
    """The outlines of a mask as ``(N, 2)`` corners x y, holes included, the longest first."""
    from contourpy import contour_generator

    padded = np.pad(mask_api.decode(rle), 1)
    found = [np.asarray(line) for line in contour_generator(z=padded).lines(0.5)]
    return sorted((line[:-1] - 0.5 for line in found), key=len, reverse=True)


def joined(parts: list[np.ndarray]) -> np.ndarray:
    """One outline that goes round every part, from the nearest corner there and back."""
    whole = parts[0]
    for part in parts[1:]:
        gaps = ((whole[:, None] - part[None]) ** 2).sum(axis=-1)
        leave, arrive = np.unravel_index(int(gaps.argmin()), gaps.shape)
        tour = np.roll(part, -int(arrive), axis=0)
        there = [whole[: leave + 1], tour, tour[:1], whole[leave:]]
        whole = np.concatenate(there)
    return whole
