"""Pseudo-masks as Label Studio pre-annotations, so that annotators correct instead of draw."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from xml.sax.saxutils import quoteattr

import numpy as np
from pycocotools import mask as mask_api

from omnicost.data.export import Merged, write_pieces
from omnicost.progress import Progress, silent

CONTROL, PICTURE = "tag", "image"  # names of the brush and of the picture in the labelling config
TASKS_PER_FILE: Final = 200  # brush masks are long, and Label Studio reads an import whole

# The brush format is @thi.ng/rle-pack's over the RGBA bytes of the picture, row by row: 32 bits of
# length, 5 of word size less one, 4 x 4 of the bits less one that a run length may take; then per
# run a 1, two bits that say which of the four, the length less one, and the word.
# Source: HumanSignal/label-studio-converter @0098e781, label_studio_converter/brush.py.
WORD_BITS: Final = 8
LENGTH_BITS: Final = (3, 4, 8, 16)
CHANNELS: Final = 4


def brush_rle(mask: np.ndarray) -> list[int]:
    """A mask in Label Studio's brush format.

    Args:
        mask: ``(H, W) bool``, at least one pixel in size.

    Returns:
        Bytes; they decode to the ``H * W * 4`` RGBA values, 255 on the mask and 0 off it.
    """
    flat = np.asarray(mask, bool).ravel()
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    lengths, words = _split(np.diff(starts, append=flat.size) * CHANNELS, flat[starts] * 255)
    kinds = np.searchsorted([2**bits for bits in LENGTH_BITS], lengths)
    sizes = np.array(LENGTH_BITS)[kinds]
    codes = ((0b100 + kinds) << sizes | (lengths - 1)) << WORD_BITS | words
    head = [flat.size * CHANNELS, WORD_BITS - 1, *(bits - 1 for bits in LENGTH_BITS)]
    values = np.concatenate([head, codes])
    widths = np.concatenate([[32, 5, 4, 4, 4, 4], 3 + sizes + WORD_BITS])
    return np.packbits(_bits(values, widths)).tolist()


def _split(lengths: np.ndarray, words: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Runs cut into pieces that the longest length code can hold."""
    longest = 2 ** LENGTH_BITS[-1]
    pieces = -(-lengths // longest)
    cut = np.full(pieces.sum(), longest)
    cut[np.cumsum(pieces) - 1] = lengths - (pieces - 1) * longest
    return cut, np.repeat(words, pieces)


def _bits(values: np.ndarray, widths: np.ndarray) -> np.ndarray:
    """Numbers written one after the other, each in so many bits, highest first."""
    ends = np.cumsum(widths)
    places = np.repeat(ends, widths) - 1 - np.arange(ends[-1])
    return (np.repeat(values, widths) >> places & 1).astype(np.uint8)


def labelling_config(class_names: tuple[str, ...]) -> str:
    """The project's labelling interface, which the tasks refer to."""
    labels = "".join(f"    <Label value={quoteattr(name)}/>\n" for name in class_names)
    return (
        f'<View>\n  <Image name="{PICTURE}" value="$image" zoom="true" zoomControl="true"/>\n'
        f'  <BrushLabels name="{CONTROL}" toName="{PICTURE}">\n{labels}  </BrushLabels>\n</View>\n'
    )


def task(merged: Merged, index: int, image_prefix: str = "") -> dict[str, Any]:
    """One image and its pseudo-masks as a task with a prediction."""
    dataset, pseudo, rows = merged.dataset, merged.pseudo, merged.rows(index)
    image_id = int(dataset.image_ids[index])
    prediction = {
        "model_version": "omnicost",
        "score": float(np.mean([pseudo.scores[row] for row in rows])) if rows else 0.0,
        "result": [_region(merged, index, row, n) for n, row in enumerate(rows)],
    }
    return {
        "data": {"image": image_prefix + str(dataset.file_names[index]), "image_id": image_id},
        "predictions": [prediction],
    }


def _region(merged: Merged, index: int, row: int, number: int) -> dict[str, Any]:
    label = merged.dataset.class_names[int(merged.pseudo.class_indices[row])]
    name = f"{merged.dataset.image_ids[index]} {number}"
    return region(name, merged.rle(index, row), label, float(merged.pseudo.scores[row]))


def region(name: str, rle: dict[str, Any], label: str, score: float) -> dict[str, Any]:
    """One mask as a brush stroke of a prediction.

    Args:
        name: unique within the task.
        rle: compressed COCO RLE.
    """
    height, width = rle["size"]
    return {
        "id": hashlib.sha256(name.encode()).hexdigest()[:10],
        "type": "brushlabels",
        "from_name": CONTROL,
        "to_name": PICTURE,
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "score": score,
        "value": {
            "format": "rle",
            "rle": brush_rle(mask_api.decode(rle)),
            "brushlabels": [label],
        },
    }


def write_tasks(
    folder: Path,
    merged: Merged,
    image_prefix: str = "",
    tasks_per_file: int = TASKS_PER_FILE,
    progress: Progress = silent,
) -> list[Path]:
    """Write the images without real masks as tasks, some to a file, and the labelling config.

    Args:
        folder: where; made if it does not exist.
        merged: the images and their pseudo-masks.
        image_prefix: URL or path put before file names.
        tasks_per_file: how many images a file holds.
        progress: called with (done, total) images.

    Returns:
        The files written.

    Raises:
        InputError: if they cannot be written.
    """
    indices = np.flatnonzero(~merged.is_human).tolist()
    config = folder / "labelling_config.xml"
    write_pieces(config, labelling_config(merged.dataset.class_names), (), "")
    written = [config]
    for start in range(0, len(indices), tasks_per_file):
        chosen = indices[start : start + tasks_per_file]
        path = folder / f"tasks-{start // tasks_per_file + 1:05d}.json"
        write_pieces(path, "[\n", _tasks(merged, chosen, image_prefix), "\n]\n")
        written.append(path)
        progress(start + len(chosen), len(indices), {})
    return written


def _tasks(merged: Merged, indices: list[int], prefix: str) -> Iterator[dict[str, Any]]:
    return (task(merged, index, prefix) for index in indices)
