"""What a data set on disk holds, and everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from PIL import Image
from pycocotools import mask as mask_api

from omnicost.coco import CocoStatistics, Fault, Faults, read_coco
from omnicost.coco.given import BOX, MASK, POINT
from omnicost.data.columns import Columns, Header
from omnicost.data.dataset import Dataset
from omnicost.data.images import EXIF_ORIENTATION, TURNED, is_cut_off, open_picture
from omnicost.data.readers.coco_reader import columns_of, require_pictures
from omnicost.data.readers.label_maps import MAP_FORMATS, Pair, read_label_maps, read_map
from omnicost.data.readers.layouts import Source, find, in_part
from omnicost.errors import InputError
from omnicost.progress import Progress, silent

TOLERANCE: Final = 1.0  # pixels that a box may stick out of its picture: annotators round
# A box is elsewhere than its mask when it has less than this IoU with the mask's tight box, and
# an edge that is off by more pixels than rounding explains.
LEAST_AGREEMENT: Final = 0.5
# An area is the mask's within these: polygons and their pixels differ along the outline.
AREA_SHARE: Final = 0.25
AREA_PIXELS: Final = 16.0
ROUNDING: Final = 2.0


class Report(NamedTuple):
    """One split, checked."""

    name: str
    split: str
    layout: str
    statistics: CocoStatistics | None  # of the usable records; None where no image is usable
    crowds: int
    empty_images: int  # without an instance, crowds aside
    types: dict[str, int] | None  # images of each annotation type, of a set with given labels
    faults: tuple[Fault, ...]


def check(path: Path, split: str, progress: Progress = silent, decode: bool = False) -> Report:
    """Check one split: annotations, their masks, and the pictures.

    Args:
        path: a folder or a COCO-format file.
        split: which split of it.
        progress: called with (done, total) annotations, then pictures.
        decode: decode every picture instead of reading its size only.

    Raises:
        MissingError: if there is no such data set.
        InputError: if the annotations are no annotations at all.
    """
    source = find(path, split)
    faults: list[Fault] = []
    read = _checked_coco if source.layout == "coco" else _checked_maps
    content = read(source, faults, progress)
    if content is None:
        return Report(source.name, split, source.layout, None, 0, 0, None, tuple(faults))
    header, columns = content
    dataset = Dataset(source.name, split, header, columns, source.picture_folder)
    faults.extend(_geometry_faults(columns))
    faults.extend(_picture_faults(dataset, progress, decode))
    owners = columns.image_of_annotation()
    labelled = np.unique(owners[~columns.is_crowd])
    return Report(
        name=source.name,
        split=split,
        layout=source.layout,
        statistics=dataset.statistics(),
        crowds=int(columns.is_crowd.sum()),
        empty_images=len(dataset) - len(labelled),
        types=dataset.types(),
        faults=tuple(faults),
    )


def _checked_coco(
    source: Source, faults: list[Fault], progress: Progress
) -> tuple[Header, Columns] | None:
    kept = Faults(source.annotations, collect=True)
    try:
        file = require_pictures(read_coco(source.annotations, faults=kept), kept)
        header, columns = columns_of(file, kept, progress)
    except InputError:
        if not kept.found:
            raise
        return None  # what is left holds no image or no class
    finally:
        faults.extend(kept.found)
    columns = in_part(columns, source.part)
    return (header, columns) if len(columns.image_ids) else None


def _checked_maps(
    source: Source, faults: list[Fault], progress: Progress
) -> tuple[Header, Columns] | None:
    form = MAP_FORMATS[source.layout]
    sound: list[Pair] = []
    for done, pair in enumerate(source.pairs, start=1):
        try:
            read_map(form, pair)
            sound.append(pair)
        except InputError as fault:
            faults.append(Fault("faulty map", f"image {pair.image_id}", fault.problem))
        progress(done, len(source.pairs), {})
    return read_label_maps(form, sound) if sound else None


def _geometry_faults(columns: Columns) -> Iterator[Fault]:
    """What is drawn, judged by what its image's type must have.

    Masks without a pixel, an area that is not the mask's, boxes that leave the picture or their
    mask, points outside their picture, masks drawn twice.
    """
    sizes = np.repeat(columns.sizes, np.diff(columns.first_annotation), axis=0)
    masks = _masks(columns)
    tight, areas = _measured(masks, sizes)
    masked, boxed, pointed = _judged_by(columns)
    boxes, ids = columns.boxes.astype(np.float64), columns.annotation_ids
    limits = sizes[:, ::-1] + TOLERANCE
    flat = (boxes[:, 2:] <= boxes[:, :2]).any(axis=1)
    outside = (boxes[:, :2] < -TOLERANCE).any(axis=1) | (boxes[:, 2:] > limits).any(axis=1)
    off = np.abs(boxes - tight).max(axis=1, initial=0) > ROUNDING
    elsewhere = off & (_iou(boxes, tight) < LEAST_AGREEMENT) & (areas > 0) & ~flat & ~outside
    differs = np.abs(columns.areas - areas) > AREA_SHARE * areas + AREA_PIXELS
    for wrong, name in (
        (masked & (areas == 0), "mask without a pixel"),
        (masked & differs & (areas > 0) & ~columns.is_crowd, "area is not the mask's"),
        (boxed & flat, "box without an area"),
        (boxed & outside, "box outside its picture"),
        (pointed & outside, "point outside its picture"),
        (masked & elsewhere, "box elsewhere than its mask"),
        (masked & _repeated(columns, masks), "mask drawn twice"),
    ):
        for row in np.flatnonzero(wrong).tolist():
            detail = "box " + " ".join(f"{side:g}" for side in boxes[row])
            if name == "area is not the mask's":
                detail = f"area {columns.areas[row]:g}, the mask has {areas[row]:g} pixels"
            yield Fault(name, f"annotation {ids[row]}", detail)


def _judged_by(columns: Columns) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``(A,) bool`` each: which annotations must have a mask, a box, a point."""
    if columns.given is None:
        everything = np.ones(len(columns.annotation_ids), bool)
        return everything, everything, ~everything
    types = np.asarray(columns.given)[columns.image_of_annotation()]
    return types == MASK, types >= BOX, types == POINT


def _masks(columns: Columns) -> list[bytes]:
    """Compressed counts of each annotation's mask."""
    content = columns.rle_bytes.tobytes()
    return [content[start:end] for start, end in pairwise(columns.rle_offsets.tolist())]


def _measured(masks: list[bytes], sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Tight boxes ``(A, 4)`` as corners and areas ``(A,)`` of masks in pictures of those sizes."""
    pairs = zip(sizes.tolist(), masks, strict=True)
    rles = [{"size": size, "counts": counts} for size, counts in pairs]
    tight = np.array(mask_api.toBbox(rles) if rles else [], np.float64).reshape(-1, 4)
    tight[:, 2:] += tight[:, :2]
    # One by one: pycocotools 2.0.11 overflows on lists of more than 255 masks.
    return tight, np.array([mask_api.area(rle) for rle in rles], np.float64)


def _iou(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """``(N,)`` IoU of boxes, pair by pair."""
    low, high = np.maximum(one[:, :2], other[:, :2]), np.minimum(one[:, 2:], other[:, 2:])
    common = np.clip(high - low, 0, None).prod(axis=1)
    areas = (one[:, 2:] - one[:, :2]).prod(axis=1) + (other[:, 2:] - other[:, :2]).prod(axis=1)
    return common / np.maximum(areas - common, 1e-12)


def _repeated(columns: Columns, masks: list[bytes]) -> np.ndarray:
    """``(A,) bool``: the same mask of the same class was there before in the same picture."""
    owners, classes = columns.image_of_annotation().tolist(), columns.class_indices.tolist()
    seen: set[tuple[int, int, bytes]] = set()
    repeated = np.zeros(len(masks), bool)
    for row, key in enumerate(zip(owners, classes, masks, strict=True)):
        repeated[row] = key in seen
        seen.add(key)
    return repeated


def _picture_faults(dataset: Dataset, progress: Progress, decode: bool) -> Iterable[Fault]:
    for index in range(len(dataset)):
        problem = _decoded(dataset, index) if decode else _glanced_at(dataset, index)
        if problem is not None:
            yield Fault(problem[0], f"image {dataset.image_ids[index]}", problem[1])
        progress(index + 1, len(dataset), {})


def _decoded(dataset: Dataset, index: int) -> tuple[str, str] | None:
    try:
        dataset.image(index)
    except InputError as fault:
        missing = not dataset.path(index).exists()
        return ("missing picture" if missing else "faulty picture"), fault.problem
    return None


def _glanced_at(dataset: Dataset, index: int) -> tuple[str, str] | None:
    """What the picture's header tells: there, a picture, of the size in the annotations."""
    path = dataset.path(index)
    height, width = dataset.sizes[index].tolist()
    try:
        with open_picture(path) as picture:
            stored = picture.size
            # EXIF last: looking for it makes Pillow decode the whole of a PNG.
            if stored == (width, height) or (
                stored == (height, width) and picture.getexif().get(EXIF_ORIENTATION) in TURNED
            ):
                return _decoded(dataset, index) if is_cut_off(path) else _linked_out(dataset, path)
    except FileNotFoundError:
        return "missing picture", str(path)
    except InputError as fault:
        return "faulty picture", f"{path}: {fault.problem}"
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as fault:
        return "faulty picture", f"{path}: {fault}"
    return "picture of another size", f"{stored[0]} x {stored[1]}, expected {width} x {height}"


def _linked_out(dataset: Dataset, path: Path) -> tuple[str, str] | None:
    """Links are followed: one that leads out of the set may show what nobody meant to show."""
    if path.is_symlink():
        target = path.resolve()
        if not target.is_relative_to(dataset.picture_folder.resolve()):
            return "picture outside the set", f"{path} is a link to {target}"
    return None
