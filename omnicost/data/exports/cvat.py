"""CVAT for images 1.1: one XML file, which CVAT imports into a task of the same pictures.

Source: https://docs.cvat.ai/docs/dataset_management/formats/format-cvat/.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape, quoteattr

import numpy as np
from pycocotools import mask as mask_api

from omnicost.data.exports.pieces import write_texts
from omnicost.data.exports.regions import LabelledSet, Region
from omnicost.files import MARK
from omnicost.progress import Progress, silent


class DrawnImage(NamedTuple):
    """One picture and what is drawn in it."""

    image_id: int
    file_name: str
    size: tuple[int, int]  # height, width
    regions: Sequence[Region]


def write_cvat(path: Path, labels: LabelledSet, progress: Progress = silent) -> int:
    """Write the images and what is drawn in them; returns how many shapes.

    Raises:
        InputError: if it cannot be written.
    """
    dataset = labels.dataset

    def images() -> Iterator[DrawnImage]:
        for index in range(len(dataset)):
            height, width = dataset.sizes[index].tolist()
            name, image_id = str(dataset.file_names[index]), int(dataset.image_ids[index])
            yield DrawnImage(image_id, name, (height, width), labels.regions(index))
            progress(index + 1, len(dataset), {})

    return write_cvat_images(path, dataset.class_names, images())


def write_cvat_images(path: Path, class_names: Sequence[str], images: Iterable[DrawnImage]) -> int:
    """Write pictures as they come, so that memory does not grow; returns how many shapes.

    Raises:
        InputError: if it cannot be written.
    """
    shapes = 0

    def texts() -> Iterator[str]:
        nonlocal shapes
        yield _head(class_names)
        for number, image in enumerate(images):
            shapes += len(image.regions)
            drawn = (_shape(class_names[region.class_index], region) for region in image.regions)
            yield _image(number, image, drawn)
        yield "</annotations>\n"

    write_texts(path, texts())
    return shapes


def _head(names: Sequence[str]) -> str:
    listed = "".join(f"<label><name>{escape(name)}</name></label>" for name in names)
    return (
        f'<?xml version="1.0" encoding="utf-8"?>\n<!-- {MARK} -->\n<annotations>\n'
        f"<version>1.1</version>\n<meta><task><labels>{listed}</labels></task></meta>\n"
    )


def _image(number: int, image: DrawnImage, shapes: Iterable[str]) -> str:
    height, width = image.size
    name = quoteattr(image.file_name)
    head = f'<image id="{number}" name={name} width="{width}" height="{height}">'
    return "\n".join([head, *shapes, "</image>", ""])


def _shape(label: str, region: Region) -> str:
    source = "manual" if region.score == 1 else "auto"
    head = f'label={quoteattr(label)} source="{source}"'
    if region.rle is not None:
        return f'<mask {head} occluded="0" {_mask(region.rle)} z_order="0"></mask>'
    if region.box is not None:
        sides = zip(("xtl", "ytl", "xbr", "ybr"), region.box, strict=True)
        corners = " ".join(f'{name}="{side:.2f}"' for name, side in sides)
        return f'<box {head} occluded="0" {corners} z_order="0"></box>'
    if region.point is not None:
        x, y = region.point
        return f'<points {head} occluded="0" points="{x:.2f},{y:.2f}" z_order="0"></points>'
    return f"<tag {head}></tag>"


def _mask(rle: dict[str, object]) -> str:
    """Run lengths row by row within the mask's frame, the first of zeros."""
    mask = mask_api.decode(rle).astype(bool)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return 'rle="1" left="0" top="0" width="1" height="1"'
    frame = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    flat = frame.ravel()
    ends = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    starts = [0] if not flat[0] else [0, 0]
    runs = np.diff([*starts, *ends.tolist(), flat.size]).tolist()
    place = f'left="{columns[0]}" top="{rows[0]}" width="{frame.shape[1]}" height="{len(frame)}"'
    return f'rle="{", ".join(map(str, runs))}" {place}'
