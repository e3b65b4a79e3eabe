"""Small data sets that the data tests write: valid, and in every form that COCO files take."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as mask_api


def picture(path: Path, height: int, width: int, mode: str = "RGB", seed: int = 0) -> np.ndarray:
    """Write noise of that mode; returns what was written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (height, width, 3) if mode == "RGB" else (height, width)
    pixels = np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)
    Image.fromarray(pixels).save(path)
    return pixels


def ellipse(height: int, width: int, y: float, x: float, ry: float, rx: float) -> np.ndarray:
    """A filled ellipse as ``(H, W) bool``."""
    rows, columns = np.mgrid[:height, :width]
    return ((rows - y) / ry) ** 2 + ((columns - x) / rx) ** 2 <= 1


def compressed(mask: np.ndarray) -> dict[str, Any]:
    """Compressed RLE with counts as text, as json files have it."""
    rle = mask_api.encode(np.asfortranarray(mask, np.uint8))
    return {"size": list(mask.shape), "counts": rle["counts"].decode()}


def uncompressed(mask: np.ndarray) -> dict[str, Any]:
    """RLE as a list of runs, the first of zeros."""
    flat = mask.ravel(order="F").astype(np.int8)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flat]))).tolist()
    runs = np.diff([0, *edges, flat.size]).tolist()
    return {"size": list(mask.shape), "counts": runs}


def every_form() -> dict[str, Any]:
    """COCO json of three 40 x 60 images: polygons, both RLEs, a crowd, sparse ids, one empty."""
    size = (40, 60)
    disc, blob = ellipse(*size, 12, 15, 8, 10), ellipse(*size, 25, 40, 10, 12)
    two_parts = [[2, 2, 10, 2, 10, 9, 2, 9], [20.5, 3, 28, 3.5, 24, 12]]
    entries = [
        (7, 3, two_parts, 0),
        (5, 90, compressed(disc), 0),
        (9, 3, uncompressed(blob), 0),
        (11, 90, uncompressed(disc | blob), 1),
    ]
    annotations = [
        {
            "id": i,
            "image_id": 20 if i != 9 else 4,
            "category_id": c,
            "segmentation": s,
            "iscrowd": k,
        }
        for i, c, s, k in entries
    ]
    for each in annotations:
        each |= box_and_area(each["segmentation"], *size)
    return {
        "images": [
            {"id": each, "file_name": f"folder/{each}.png", "height": 40, "width": 60}
            for each in (20, 4, 31)
        ],
        "annotations": annotations,
        "categories": [{"id": 90, "name": "toothbrush"}, {"id": 3, "name": "car"}],
    }


def box_and_area(segmentation: Any, height: int, width: int) -> dict[str, Any]:
    """`bbox` and `area` of a segmentation by pycocotools."""
    if isinstance(segmentation, dict) and isinstance(segmentation["counts"], str):
        rle = segmentation
    else:
        rles = mask_api.frPyObjects(segmentation, height, width)
        rle = mask_api.merge(rles) if isinstance(rles, list) else rles
    return {"bbox": mask_api.toBbox(rle).tolist(), "area": float(mask_api.area(rle))}


def write(folder: Path, content: dict[str, Any], split: str = "train") -> Path:
    """The content in COCO's layout, with pictures."""
    annotations = folder / "annotations" / f"instances_{split}2017.json"
    annotations.parent.mkdir(parents=True, exist_ok=True)
    annotations.write_text(json.dumps(content))
    for each in content["images"]:
        path = folder / f"{split}2017" / each["file_name"]
        picture(path, each["height"], each["width"], seed=each["id"])
    return folder


def ade20k(folder: Path) -> list[np.ndarray]:
    """A miniature of ADE20K's layout, training split; returns its maps in order of image id."""
    base = folder / "ADEChallengeData2016"
    maps = []
    for n, image_id in enumerate((2, 10)):
        content = np.zeros((30, 40, 3), np.uint8)
        content[..., 2] = 7  # blue means nothing
        content[..., 0] = 5  # a class without an instance number is void
        for green, red in enumerate((1, 1, 100, 12), start=1 + n):
            where = ellipse(30, 40, 7 * green, 8 * green, 6, 7)
            content[where] = (red, green, 7)
        name = f"ADE_train_{image_id:08d}"
        maps.append(content)
        picture(base / "images" / "training" / f"{name}.jpg", 30, 40, seed=n)
        path = base / "annotations_instance" / "training" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(content).save(path)
    return maps


def cityscapes(folder: Path) -> list[np.ndarray]:
    """A miniature of Cityscapes' layout, val split of two cities; returns its maps in order."""
    maps = []
    for n, city in enumerate(("frankfurt", "lindau")):
        content = np.full((32, 64), 7, np.uint16)  # road
        values = (24000, 24001, 26003, 33000, 29001, 30000, 26, 23)  # 29, 30: caravan, trailer
        for m, value in enumerate(values):
            content[ellipse(32, 64, 15 + n, 7 + 7 * m, 6, 5)] = value
        stem = f"{city}_000000_00001{n}"
        maps.append(content)
        picture(folder / "leftImg8bit" / "val" / city / f"{stem}_leftImg8bit.png", 32, 64, seed=n)
        path = folder / "gtFine" / "val" / city / f"{stem}_gtFine_instanceIds.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(content).save(path)
    return maps
