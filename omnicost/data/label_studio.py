"""Pseudo-masks as Label Studio pre-annotations, so that annotators correct instead of draw."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from xml.sax.saxutils import quoteattr

import numpy as np
from pycocotools import mask as mask_api

from omnicost.data.brush import brush_rle
from omnicost.data.export import Merged, write_pieces
from omnicost.progress import Progress, silent

CONTROL, PICTURE = "tag", "image"  # names of the brush and of the picture in the labelling config
TASKS_PER_FILE: Final = 200  # brush masks are long, and Label Studio reads an import whole


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
