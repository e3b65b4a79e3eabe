"""Pictures of instance numbers (ADE20K, Cityscapes) to columns."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from PIL import Image
from pycocotools import mask as mask_api

from omnicost.data.columns import Columns, Header, SizeBounds, offsets
from omnicost.data.images import open_picture
from omnicost.data.rle import compressed
from omnicost.errors import InputError
from omnicost.progress import Progress, silent
from omnicost.published import PUBLISHED

IDS_PER_IMAGE: Final = 100_000  # an annotation's id is image id x this + its value in the map
ADE20K_CLASS: Final = 256  # red x this + green is an ADE20K value
CITYSCAPES_INSTANCE: Final = 1000  # values from here on are label x this + instance; below: groups


class Pair(NamedTuple):
    """A picture and its map of instances."""

    image_id: int
    file_name: str  # of the picture, relative to the picture folder
    label_map: Path


class Meaning(NamedTuple):
    """What the values of a map stand for; -1 as class: nothing that is segmented."""

    class_indices: np.ndarray  # (V,) int64
    is_crowd: np.ndarray  # (V,) bool


class MapFormat(NamedTuple):
    """How a published data set writes its maps."""

    categories: Mapping[int, str]  # id to name
    values: Callable[[Path], np.ndarray]  # a file to (H, W) int32
    meaning: Callable[[np.ndarray], Meaning]  # of distinct (V,) values


class MapInstances(NamedTuple):
    """The N instances of one map, in order of value."""

    size: tuple[int, int]
    values: np.ndarray  # (N,) int64
    class_indices: np.ndarray  # (N,) int64
    is_crowd: np.ndarray  # (N,) bool
    boxes: np.ndarray  # (N, 4) float64
    areas: np.ndarray  # (N,) float64
    rles: list[bytes]


def read_label_maps(
    form: MapFormat, pairs: Sequence[Pair], progress: Progress = silent
) -> tuple[Header, Columns]:
    """The columns of a folder of maps, in order of image id.

    Boxes and areas are those of the masks. Pictures count as large as their maps.

    Raises:
        InputError: if a map is damaged or holds values that the format does not allow.
    """
    found: list[MapInstances] = []
    # Threads: decoding PNG, most of the time, leaves Python's lock alone.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for each in pool.map(lambda pair: read_map(form, pair), pairs):
            found.append(each)
            progress(len(found), len(pairs), {})
    rles = [rle for each in found for rle in each.rles]
    header = Header(tuple(form.categories.values()), tuple(form.categories), SizeBounds())
    return header, Columns(
        image_ids=np.array([pair.image_id for pair in pairs], np.int64),
        file_names=np.array([pair.file_name for pair in pairs], np.str_),
        sizes=np.array([each.size for each in found], np.int32).reshape(-1, 2),
        first_annotation=offsets(np.array([len(each.rles) for each in found], np.int64)),
        annotation_ids=np.concatenate(
            [p.image_id * IDS_PER_IMAGE + f.values for p, f in zip(pairs, found, strict=True)]
        ),
        class_indices=np.concatenate([each.class_indices for each in found]),
        boxes=np.concatenate([each.boxes for each in found]).astype(np.float32),
        areas=np.concatenate([each.areas for each in found]),
        is_crowd=np.concatenate([each.is_crowd for each in found]),
        rle_offsets=offsets(np.array([len(rle) for rle in rles], np.int64)),
        rle_bytes=np.frombuffer(b"".join(rles), np.uint8),
    )


def read_map(form: MapFormat, pair: Pair) -> MapInstances:
    """The instances of one map.

    Raises:
        InputError: if it is damaged or holds values that the format does not allow.
    """
    where = f"{pair.label_map} (image id {pair.image_id})"
    try:
        values = form.values(pair.label_map)
        return _instances(values, form.meaning)
    except InputError as fault:
        raise InputError(where, fault.problem, fault.remedy) from None
    except (OSError, ValueError, SyntaxError, MemoryError, Image.DecompressionBombError) as fault:
        reason = " ".join(str(fault).split())
        raise InputError(where, f"damaged map ({reason})", "unpack it again") from None


def _instances(values: np.ndarray, meaning: Callable[[np.ndarray], Meaning]) -> MapInstances:
    height, width = values.shape
    flat = values.ravel(order="F")  # stretches of one value go down the columns, as COCO's RLE
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    lengths = np.diff(starts, append=flat.size)
    present, of = np.unique(flat[starts], return_inverse=True)
    meant = meaning(present)
    kept = np.flatnonzero(meant.class_indices >= 0)
    order = np.argsort(of, kind="stable")
    bounds = np.searchsorted(of[order], np.arange(len(present) + 1))
    rles, areas = [], []
    for n in kept.tolist():
        rows = order[bounds[n] : bounds[n + 1]]
        rles.append(_compressed(starts[rows], lengths[rows], height, width))
        areas.append(float(lengths[rows].sum()))
    boxes = mask_api.toBbox([{"size": [height, width], "counts": rle} for rle in rles])
    boxes = np.array(boxes, np.float64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return MapInstances(
        size=(height, width),
        values=present[kept].astype(np.int64),
        class_indices=meant.class_indices[kept],
        is_crowd=meant.is_crowd[kept],
        boxes=boxes,
        areas=np.array(areas, np.float64),
        rles=rles,
    )


def _compressed(starts: np.ndarray, lengths: np.ndarray, height: int, width: int) -> bytes:
    """Compressed counts of the mask that is set on some stretches, in ascending order."""
    ends = starts + lengths
    gaps = starts - np.concatenate([[0], ends[:-1]])
    counts = [*np.stack([gaps, lengths], axis=1).ravel().tolist(), height * width - int(ends[-1])]
    return compressed(counts, height, width)


def _ade20k_values(path: Path) -> np.ndarray:
    with open_picture(path) as picture:
        if picture.mode not in ("RGB", "RGBA"):
            raise ValueError(f"mode {picture.mode}, expected RGB")
        channels = np.asarray(picture)
    return channels[..., 0].astype(np.int32) * ADE20K_CLASS + channels[..., 1]


def _ade20k_meaning(values: np.ndarray) -> Meaning:
    classes, instances = np.divmod(values, ADE20K_CLASS)
    wrong = (instances > 0) & ((classes < 1) | (classes > len(ADE20K.categories)))
    if wrong.any():
        raise ValueError(f"an instance of class {classes[wrong][0]}, expected 1 to 100")
    class_indices = np.where(instances > 0, classes - 1, -1).astype(np.int64)
    return Meaning(class_indices, np.zeros(len(values), bool))


def _cityscapes_values(path: Path) -> np.ndarray:
    with open_picture(path) as picture:
        if not picture.mode.startswith("I") and picture.mode != "L":
            raise ValueError(f"mode {picture.mode}, expected 16-bit grey")
        return np.asarray(picture).astype(np.int32)


def _cityscapes_meaning(values: np.ndarray) -> Meaning:
    is_crowd = values < CITYSCAPES_INSTANCE
    labels = np.where(is_crowd, values, values // CITYSCAPES_INSTANCE)
    index = {label: n for n, label in enumerate(CITYSCAPES.categories)}
    classes = np.array([index.get(label, -1) for label in labels.tolist()], np.int64)
    return Meaning(classes, is_crowd)


ADE20K: Final = MapFormat(PUBLISHED["ade20k"].categories, _ade20k_values, _ade20k_meaning)
CITYSCAPES: Final = MapFormat(
    PUBLISHED["cityscapes"].categories, _cityscapes_values, _cityscapes_meaning
)
MAP_FORMATS: Final = {"ade20k": ADE20K, "cityscapes": CITYSCAPES}
