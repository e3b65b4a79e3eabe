"""What a GroundingDINO model finds on held-out pictures, with two kinds of caption."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from hotcoco import COCO, COCOeval
from numpy.typing import NDArray
from torch import Tensor
from torchvision.ops import box_convert, box_iou

from omnicost.data.tiny.world import SPECS, Scene
from omnicost.models.tiny.pretrain.detection_loss import phrase_tokens
from omnicost.models.tiny.pretrain.pictures import DATASETS, scenes, tight_boxes, to_pixel_values

HELD_OUT = 100  # pictures of each data set
BATCH = 25
LOWEST_SCORE = 0.02  # of the detections that AP is computed on
CONFIDENCE = 0.3  # the paper's threshold, for recall and false boxes
# ImageNet's, as in IDEA-Research/grounding-dino-tiny.
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


class ScoredBoxes(NamedTuple):
    """Of one picture, N over ``LOWEST_SCORE``: boxes x0 y0 x1 y1 in pixels."""

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    class_indices: NDArray[np.int64]


def caption_of(names: Sequence[str]) -> str:
    """GroundingDINO's caption: lower case, ``a . b . c.``"""
    return " . ".join(names).lower() + "."


def present_classes(scene: Scene, world: str) -> list[int]:
    """Caption of the picture's own classes, as indices into the names of ``world``."""
    return sorted({int(index) for index in scene.class_indices})


def all_classes(scene: Scene, world: str) -> list[int]:
    """Caption of every class of ``world``."""
    return list(range(len(SPECS[world].class_names)))


CAPTIONS = {"present": present_classes, "all": all_classes}


@torch.no_grad()
def detect(
    model: Any,
    tokenizer: Any,
    pictures: Sequence[Scene],
    captions: Sequence[Sequence[int]],
    names: Sequence[str],
) -> list[ScoredBoxes]:
    """ScoredBoxes of each picture; ``captions`` holds the classes that each one asks for."""
    texts = [caption_of([names[index] for index in asked]) for asked in captions]
    tokens = tokenizer(texts, padding=True, return_tensors="pt")
    values = to_pixel_values(np.stack([scene.image for scene in pictures]), MEAN, STD)
    output = model(pixel_values=values, **tokens)
    side = pictures[0].image.shape[0]
    boxes = box_convert(output.pred_boxes, "cxcywh", "xyxy").clamp(0, 1) * side
    length = tokens["input_ids"].shape[1]
    probabilities = output.logits[..., :length].sigmoid()
    return [
        _detections(probabilities[i], boxes[i], phrase_tokens(tokens["input_ids"][i]), captions[i])
        for i in range(len(pictures))
    ]


def _detections(
    probabilities: Tensor, boxes: Tensor, phrases: Tensor, asked: Sequence[int]
) -> ScoredBoxes:
    """A class scores as the best of its tokens; each box may have several classes."""
    scores = torch.where(phrases[None], probabilities[:, None], 0.0).amax(-1)  # (Q, P)
    queries, phrase = (scores >= LOWEST_SCORE).nonzero(as_tuple=True)
    classes = torch.tensor(asked)[phrase]
    kept = scores[queries, phrase]
    return ScoredBoxes(boxes[queries].numpy(), kept.numpy(), classes.numpy())


def figures(model: Any, tokenizer: Any, pictures: int = HELD_OUT) -> dict[str, float]:
    """AP50, recall and false boxes a picture, for each data set and each kind of caption."""
    model.eval()
    values = {}
    for world in DATASETS:
        held_out = scenes(world, "val", range(pictures))
        for caption in CAPTIONS:
            found = detect_in_batches(model, tokenizer, held_out, world, caption)
            values[f"{world}/{caption} AP50"] = box_ap50(held_out, found, world)
            recall, false = recall_and_false(held_out, found)
            values[f"{world}/{caption} recall"] = recall
            values[f"{world}/{caption} false"] = false
    return values


def detect_in_batches(
    model: Any, tokenizer: Any, pictures: Sequence[Scene], world: str, caption: str
) -> list[ScoredBoxes]:
    """`detect` with captions of ``caption`` (``present`` or ``all``)."""
    names = SPECS[world].class_names
    found = []
    for first in range(0, len(pictures), BATCH):
        batch = pictures[first : first + BATCH]
        captions = [CAPTIONS[caption](scene, world) for scene in batch]
        found += detect(model, tokenizer, batch, captions, names)
    return found


def box_ap50(pictures: Sequence[Scene], found: Sequence[ScoredBoxes], world: str) -> float:
    """COCO's box AP at IoU 0.5, in [0, 1]."""
    truth = COCO(_coco_truth(pictures, len(SPECS[world].class_names)))
    evaluation: Any = COCOeval(truth, truth.load_res(_coco_rows(found)), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    # IoU thresholds from 0.5 up x recall x classes x areas x detections; -1 where there is nothing.
    precision = np.asarray(evaluation.eval["precision"])[0, :, :, 0, -1]
    return float(precision[precision > -1].mean())


def _coco_truth(pictures: Sequence[Scene], classes: int) -> dict[str, Any]:
    annotations: list[dict[str, Any]] = []
    for image_id, scene in enumerate(pictures, 1):
        for box, index in zip(tight_boxes(scene.masks), scene.class_indices, strict=True):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": int(index) + 1,
                    "bbox": _xywh(box),
                    "area": float(np.prod(box[2:] - box[:2])),
                    "iscrowd": 0,
                }
            )
    side = pictures[0].image.shape[0]
    images = [{"id": i + 1, "width": side, "height": side} for i in range(len(pictures))]
    categories = [{"id": i + 1, "name": str(i)} for i in range(classes)]
    return {"images": images, "annotations": annotations, "categories": categories}


def _coco_rows(found: Sequence[ScoredBoxes]) -> list[dict[str, Any]]:
    return [
        {
            "image_id": image_id,
            "category_id": int(index) + 1,
            "bbox": _xywh(box),
            "score": float(score),
        }
        for image_id, detections in enumerate(found, 1)
        for box, score, index in zip(*detections, strict=True)
    ]


def _xywh(box: NDArray[np.float32]) -> list[float]:
    return [float(v) for v in (*box[:2], *(box[2:] - box[:2]))]


def recall_and_false(
    pictures: Sequence[Scene], found: Sequence[ScoredBoxes]
) -> tuple[float, float]:
    """At confidence 0.3: share of objects found (IoU 0.5, right class), false boxes a picture.

    A box is false if no object of its class overlaps it by half.
    """
    hits = objects = false = 0
    for scene, detections in zip(pictures, found, strict=True):
        sure = detections.scores >= CONFIDENCE
        boxes, classes = detections.boxes[sure], detections.class_indices[sure]
        truth = torch.from_numpy(tight_boxes(scene.masks))
        overlap = box_iou(truth, torch.from_numpy(boxes)).numpy() >= 0.5
        agree = overlap & (scene.class_indices[:, None] == classes[None])
        hits += int(agree.any(1).sum())
        false += int((~agree.any(0)).sum())
        objects += len(truth)
    return hits / max(1, objects), false / max(1, len(pictures))
