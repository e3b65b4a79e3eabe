"""SAM, SAM 2 and SAM-HQ, small and random, with the prompts that all of them are asked."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from teacher_world import (
    tiny_sam,
    tiny_sam2,
    tiny_sam_hq,
)

from omnicost.models.teachers.frame import Prompts
from omnicost.models.teachers.teacher import REGISTRY, Features, Promptable

TOLERANCE = 1e-5  # of the standard deviation of transformers' logits
TEXT = 24
MAKERS: dict[str, Callable[..., Any]] = {
    "sam": tiny_sam,
    "sam2": tiny_sam2,
    "sam_hq": tiny_sam_hq,
}
BOXES = torch.tensor([[4.0, 8.0, 30.0, 40.0], [30.0, 20.0, 60.0, 50.0], [0.0, 50.0, 20.0, 63.0]])
POINTS = torch.tensor(
    [[[10.0, 20.0], [50.0, 5.0]], [[40.0, 30.0], [45.0, 40.0]], [[5.0, 60.0], [0.0, 0.0]]]
)
LABELS = torch.tensor([[1, 0], [1, 1], [1, -1]])
PROMPTS = {
    "box": Prompts(None, None, BOXES),
    "point": Prompts(POINTS[:, :1], LABELS[:, :1], None),
    "points": Prompts(POINTS, LABELS, None),
    "point_box": Prompts(POINTS[:, :1], LABELS[:, :1], BOXES),
    "points_box": Prompts(POINTS, LABELS, BOXES),
    "neither": Prompts(POINTS[:, :0], LABELS[:, :0], None),
}


class Family(NamedTuple):
    """One family: transformers' model, ours around the same weights, features of two pictures."""

    theirs: Any
    ours: Promptable
    pixels: torch.Tensor
    features: Features


def wrapped(model: Any) -> Promptable:
    """Ours around a transformers model."""
    module, name = REGISTRY[model.config.model_type]
    made: Promptable = getattr(importlib.import_module(module), name)(model)
    return made


def mend(model: Any) -> None:
    """Let transformers' SAM-HQ draw on what its transformer returned.

    Up to 5.24 its decoder drops the transformer's image tokens and goes on with the embedding that
    it had before, rows and columns swapped. The tokens are written into that embedding, swapped, so
    that the rest of its forward is the authors' (SysCV/sam-hq, mask_decoder_hq.py). A version that
    is mended itself never looks at what is written here.
    """
    transformer = model.mask_decoder.transformer
    forward = transformer.forward

    def mended(point_embeddings: Any, image_embeddings: torch.Tensor, **rest: Any) -> Any:
        queries, keys = forward(point_embeddings, image_embeddings, **rest)
        maps = keys.flatten(0, 1).unflatten(1, image_embeddings.shape[-2:])
        image_embeddings.copy_(maps.permute(0, 3, 2, 1))
        return queries, keys

    transformer.forward = mended


def asked_of_transformers(
    model: Any, pixels: torch.Tensor, prompts: Prompts, multimask: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits ``(P, M, h, w)`` and IoU estimates of one picture by transformers' own forward."""
    points, labels, boxes = (None if part is None else part[None] for part in prompts.parts)
    output = model(
        pixel_values=pixels,
        input_points=points,
        input_labels=labels,
        input_boxes=boxes,
        multimask_output=multimask,
    )
    return output.pred_masks[0], output.iou_scores[0]


def first(features: Features) -> Features:
    """Of the first picture."""
    return tuple(level[:1] for level in features)


def class_text() -> torch.Tensor:
    return torch.randn(3, TEXT, generator=torch.Generator().manual_seed(1))
