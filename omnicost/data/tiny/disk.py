"""A tiny data set as files, in the layout of COCO."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from omnicost.data.coco_json import as_text
from omnicost.data.rle import encode
from omnicost.data.tiny.world import Scene, WorldSpec, render
from omnicost.errors import InputError
from omnicost.progress import Progress, silent

SPLIT_SIZES: dict[str, dict[str, int]] = {
    "tiny-coco": {"train": 2400, "val": 200},  # so that 1% is 24 pictures
    "tiny-ade20k": {"train": 2400, "val": 200},
    "tiny-cityscapes": {"train": 2400, "val": 150},
    "tiny-web": {"train": 2000, "val": 200},
    "tiny-things": {"train": 2000, "val": 200},
}


def write_coco(
    spec: WorldSpec,
    folder: str | Path,
    splits: Mapping[str, int] | None = None,
    progress: Progress = silent,
) -> None:
    """Write pictures and labels: `{split}/000001.png`, `annotations/instances_{split}.json`.

    Args:
        spec: the world to draw.
        folder: where to; made if missing.
        splits: number of pictures per split; by default the data set's own `SPLIT_SIZES`. What
            follows a dash in a split's name tells apart splits that begin with the same pictures.
        progress: called after every picture.
    """
    folder = Path(folder)
    splits = SPLIT_SIZES[spec.name] if splits is None else splits
    (folder / "annotations").mkdir(parents=True, exist_ok=True)
    done, total = 0, sum(splits.values())
    for split, count in splits.items():
        (folder / split).mkdir(exist_ok=True)
        content = coco_header(spec, split)
        for index in range(count):
            scene = render(spec, split.partition("-")[0], index)
            file_name = f"{index + 1:06d}.png"
            Image.fromarray(scene.image).save(folder / split / file_name)
            append_scene(content, scene, index + 1, file_name)
            done += 1
            progress(done, total, {})
        path = folder / "annotations" / f"instances_{split}.json"
        path.write_text(json.dumps(content, separators=(",", ":")))


def pictures_of(spec: WorldSpec, split: str) -> int:
    """How many pictures a split has; `train-800` is the first 800 of `train`.

    Raises:
        InputError: if there is no such split, or it has fewer.
    """
    match = re.fullmatch(r"([a-z]+)(?:-([1-9]\d*))?", split)
    most = SPLIT_SIZES[spec.name].get(match[1], 0) if match else 0
    count = int(match[2] or most) if match else 0
    if not 0 < count <= most:
        sizes = ", ".join(f"{name} ({size:,})" for name, size in SPLIT_SIZES[spec.name].items())
        remedy = f"use {sizes}, or train-N for the first N of train"
        raise InputError(spec.name, f"has no split {split!r}", remedy)
    return count


def coco_header(spec: WorldSpec, split: str) -> dict[str, Any]:
    """A COCO file of a split without a picture."""
    return {
        "info": {
            "description": f"{spec.name} {split}, drawn by omnicost",
            "version": str(spec.version),
            "size_bounds": list(spec.size_bounds),
        },
        "images": [],
        "annotations": [],
        "categories": [
            {"id": number, "name": name} for number, name in enumerate(spec.class_names, start=1)
        ],
    }


def append_scene(content: dict[str, Any], scene: Scene, image_id: int, file_name: str) -> None:
    """Put a picture and its labels into a COCO file."""
    height, width = scene.image.shape[:2]
    content["images"].append(
        {"id": image_id, "file_name": file_name, "height": height, "width": width}
    )
    for class_index, mask in zip(scene.class_indices.tolist(), scene.masks, strict=True):
        content["annotations"].append(
            {
                "id": len(content["annotations"]) + 1,
                "image_id": image_id,
                "category_id": class_index + 1,
                **_geometry(mask),
                "iscrowd": 0,
            }
        )


def _geometry(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """Segmentation, box and area of a mask, as COCO writes them."""
    rows, columns = np.nonzero(mask)
    x, y = int(columns.min()), int(rows.min())
    return {
        "segmentation": as_text(encode(mask[None])[0]),
        "bbox": [x, y, int(columns.max()) + 1 - x, int(rows.max()) + 1 - y],
        "area": int(mask.sum()),
    }
