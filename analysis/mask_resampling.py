"""How near a mask kept at the picture's size comes to its polygon drawn at a view's size.

Students' views scale pictures by 0.1 to 3; the data set keeps masks, not polygons. Printed for each
scale and way of resampling: mean IoU with the polygon drawn at that scale, share of masks that
vanish, and area against the polygon's.

    python analysis/mask_resampling.py ~/coco/annotations/instances_val2017.json
"""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from PIL import Image
from pycocotools import mask as mask_api

SCALES = (0.15, 0.3, 0.6, 1.5, 2.0, 3.2)
WAYS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,  # antialiased, over a half
    "box": Image.Resampling.BOX,
}


def drawn(polygons: list[list[float]], height: int, width: int) -> np.ndarray:
    """``(height, width) bool``."""
    return mask_api.decode(mask_api.merge(mask_api.frPyObjects(polygons, height, width))) > 0


def resampled(mask: np.ndarray, height: int, width: int, way: str) -> np.ndarray:
    """The mask at another size."""
    image = Image.fromarray(mask.astype(np.uint8) * 255).resize((width, height), WAYS[way])
    return np.asarray(image) >= 128


def compare(annotation: dict[str, Any], size: tuple[int, int], figures: dict[Any, Any]) -> None:
    """Add one instance's (IoU, whether it is there, relative area) by scale and way."""
    mask = drawn(annotation["segmentation"], *size)
    for scale in SCALES:
        height, width = (round(edge * scale) for edge in size)
        x, y = width / size[1], height / size[0]
        scaled = [
            [v * (y if odd % 2 else x) for odd, v in enumerate(p)]
            for p in annotation["segmentation"]
        ]
        wanted = drawn(scaled, height, width)
        if not (mask.any() and wanted.any()):
            continue
        for way in WAYS:
            found = resampled(mask, height, width, way)
            iou = (found & wanted).sum() / (found | wanted).sum()
            figures[scale, way].append((iou, not found.any(), found.sum() / wanted.sum()))


def main(
    instances: Annotated[Path, typer.Argument(help="COCO instances file with polygons.")],
    most: Annotated[int, typer.Option(help="Instances, drawn at random.")] = 600,
) -> None:
    """Print the table."""
    content = json.loads(instances.read_text())
    sizes = {image["id"]: (image["height"], image["width"]) for image in content["images"]}
    usable = [a for a in content["annotations"] if isinstance(a["segmentation"], list)]
    figures: dict[Any, Any] = defaultdict(list)
    for place in np.random.default_rng(0).permutation(len(usable))[:most]:
        compare(usable[place], sizes[usable[place]["image_id"]], figures)
    print("scale  " + "".join(f"{way:>26}" for way in WAYS))
    for scale in SCALES:
        means = (np.mean(figures[scale, way], 0) for way in WAYS)
        cells = (f"IoU {m[0]:.3f} lost {m[1]:.3f} area {m[2]:.2f}" for m in means)
        print(f"{scale:<6} " + "  ".join(cells))


if __name__ == "__main__":
    typer.run(main)
