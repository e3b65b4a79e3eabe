"""COCO's average precision of what a tiny model finds on scenes of a tiny world."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np
from hotcoco import COCO, COCOeval
from numpy.typing import NDArray

from omnicost.data.tiny.disk import append_scene, coco_header
from omnicost.data.tiny.world import SPECS, Scene

Found = tuple[Sequence[Any], NDArray[np.int64], NDArray[np.float32]]
"""Of one picture: N shapes, class indices and scores."""
THRESHOLDS = 10  # of IoU: 0.5, 0.55, ... 0.95


def average_precision(
    pictures: Sequence[Scene],
    found: Iterable[Found],
    world: str,
    shape: Literal["bbox", "segmentation"],
    thresholds: int = THRESHOLDS,
) -> float:
    """AP in [0, 1].

    Args:
        pictures: with what there is to find.
        found: in each of them; shapes as COCO has them, x y width height or RLE.
        world: whose scenes they are.
        shape: what is compared.
        thresholds: so many of the lowest; 1 for AP50.
    """
    rows = [
        {"image_id": image_id, "category_id": int(index) + 1, shape: one, "score": float(score)}
        for image_id, of_picture in enumerate(found, 1)
        for one, index, score in zip(*of_picture, strict=True)
    ]
    content = coco_header(SPECS[world], "val")
    for image_id, scene in enumerate(pictures, 1):
        append_scene(content, scene, image_id, f"{image_id}.png")
    truth = COCO(content)
    kind = "bbox" if shape == "bbox" else "segm"
    evaluation: Any = COCOeval(truth, truth.load_res(rows), kind)
    evaluation.evaluate()
    evaluation.accumulate()
    # IoU thresholds x recall x classes x areas x detections; -1 where there is nothing.
    precision = np.asarray(evaluation.eval["precision"])[:thresholds, :, :, 0, -1]
    return float(precision[precision > -1].mean())


def xywh(boxes: NDArray[np.float32]) -> list[list[float]]:
    """``(N, 4)`` boxes x0 y0 x1 y1 as COCO has them."""
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1).tolist()
