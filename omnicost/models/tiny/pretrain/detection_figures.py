"""What a GroundingDINO model finds on held-out pictures, with two kinds of caption."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.ops import box_convert, box_iou

from omnicost.data.tiny.world import SPECS, Scene
from omnicost.models.tiny.pretrain.average_precision import average_precision, xywh
from omnicost.models.tiny.pretrain.detection_loss import phrase_tokens
from omnicost.models.tiny.pretrain.pictures import (
    DATASETS,
    MEAN,
    STD,
    scenes,
    tight_boxes,
    to_pixel_values,
)

HELD_OUT = 100  # pictures of each data set
BATCH = 25
LOWEST_SCORE = 0.02  # of the detections that AP is computed on
CONFIDENCE = 0.3  # the paper's threshold, for recall and false boxes


class ScoredBoxes(NamedTuple):
    """Of one picture, N over ``LOWEST_SCORE``: boxes x0 y0 x1 y1 in pixels."""

    boxes: NDArray[np.float32]
    class_indices: NDArray[np.int64]
    scores: NDArray[np.float32]


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
    return ScoredBoxes(boxes[queries].numpy(), classes.numpy(), kept.numpy())


def figures(model: Any, tokenizer: Any, pictures: int = HELD_OUT) -> dict[str, float]:
    """AP50, recall and false boxes a picture, for each data set and each kind of caption."""
    model.eval()
    values = {}
    for world in DATASETS:
        held_out = scenes(world, "val", range(pictures))
        for caption in CAPTIONS:
            found = detect_in_batches(model, tokenizer, held_out, world, caption)
            outlines = [(xywh(boxes), classes, scores) for boxes, classes, scores in found]
            values[f"{world}/{caption} AP50"] = average_precision(
                held_out, outlines, world, "bbox", thresholds=1
            )
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
