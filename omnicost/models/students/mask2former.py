"""Mask2Former (Cheng et al. 2022) on transformers' modules, with the losses of `criterion`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from omnicost.models.masks import encode
from omnicost.models.pixels import PIXEL_MEAN, PIXEL_STD
from omnicost.models.students import criterion, resize
from omnicost.models.students.settings import Mask2FormerSettings
from omnicost.models.students.student import (
    ImageTargets,
    LazyPrediction,
    Prediction,
    Student,
    checkpoint_layers,
    quiet,
)

MASK_PIXELS_AT_ONCE = 1 << 26  # of logits: 256 MB, a hundred masks of a COCO picture are half
MaskPart = torch.Tensor | list[dict[str, Any]]  # (Q, H, W) bool, or their codes
# Setting -> attribute of transformers' config; the rest of a student's settings is of its training.
SHAPE: Final[Mapping[str, str]] = {
    "queries": "num_queries",
    "width": "hidden_dim",
    "heads": "num_attention_heads",
    "encoder_layers": "encoder_layers",
    "decoder_layers": "decoder_layers",
    "encoder_feedforward": "encoder_feedforward_dim",
    "decoder_feedforward": "dim_feedforward",
}
UNCOUNTED_LAYERS = 1  # the learnable queries, which transformers counts among the decoder's
STRIDE = 32  # of the coarsest feature map; pictures are padded to a multiple of it


class Mask2FormerStudent(Student):
    """Transformers' Mask2Former trained as the authors' was."""

    settings: Mask2FormerSettings
    pixel_mean: torch.Tensor
    pixel_std: torch.Tensor

    def __init__(
        self, settings: Mask2FormerSettings, num_classes: int, backbone_config: Any
    ) -> None:
        super().__init__(settings, num_classes, backbone_config)
        from transformers import Mask2FormerModel

        with quiet():
            config = _transformers_config(settings, backbone_config)
            self.network = Mask2FormerModel(config)
        for layer in self.network.transformer_module.decoder.layers:
            layer.cross_attn.__class__ = _WeightlessAttention
        self.class_predictor = nn.Linear(settings.width, num_classes + 1)
        self.register_buffer("pixel_mean", _per_channel(PIXEL_MEAN), persistent=False)
        self.register_buffer("pixel_std", _per_channel(PIXEL_STD), persistent=False)

    @property
    def backbone(self) -> nn.Module:
        """The feature extractor."""
        encoder: nn.Module = self.network.pixel_level_module.encoder
        return encoder

    def compile_network(self) -> None:
        """Compile backbone and pixel decoder: crops have one size, so they compile once."""
        self.backbone.compile()
        self.network.pixel_level_module.decoder.compile()

    def save_activation_memory(self) -> None:
        """Checkpoint the layers of backbone, pixel decoder and decoder."""
        checkpoint_layers(self.network)

    def outputs(self, images: torch.Tensor) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Mask logits ``(B, Q, H/4, W/4)`` and class logits ``(B, Q, K + 1)``, L of each.

        The first are those of the learnable queries, the last those of the last layer.
        """
        pixels = (images - self.pixel_mean) / self.pixel_std
        if images.is_contiguous(memory_format=torch.channels_last):
            pixels = pixels.contiguous(memory_format=torch.channels_last)
        features = self.backbone(pixels).feature_maps
        # The released pixel decoder works in single precision whatever the rest does.
        with torch.autocast(images.device.type, enabled=False):
            levels = self.network.pixel_level_module.decoder([part.float() for part in features])
        decoded = self.network.transformer_module(
            multi_scale_features=levels.multi_scale_features, mask_features=levels.mask_features
        )
        classes = [
            self.class_predictor(state.transpose(0, 1))
            for state in decoded.intermediate_hidden_states
        ]
        return list(decoded.masks_queries_logits), classes

    def loss(
        self, images: torch.Tensor, targets: Sequence[ImageTargets], world_size: int = 1
    ) -> dict[str, torch.Tensor]:
        """Class, mask and dice losses, over all layers."""
        masks, classes = self.outputs(images)
        with torch.autocast(images.device.type, enabled=False):
            truth = criterion.collate(targets, world_size)
            return criterion.losses(masks, classes, truth, self.settings)

    def shares(
        self,
        part: Sequence[ImageTargets],
        whole: Sequence[ImageTargets],
        world_size: int = 1,
        device: torch.device | str = "cpu",
    ) -> dict[str, torch.Tensor]:
        """By instances for masks, by weights of queries for classes: exact (see `criterion`)."""
        return criterion.shares(part, whole, self.settings, world_size, device)

    @torch.no_grad()
    def draw(self, images: Sequence[np.ndarray]) -> Iterator[LazyPrediction]:
        """The best `settings.detections` of queries x classes in each picture."""
        for batch in resize.same_size_batches(images, self.settings.test_size, STRIDE):
            masks, classes = self.outputs(batch.pixels.to(self.pixel_mean.device))
            for mask, logits, size in zip(masks[-1], classes[-1], batch.sizes, strict=True):
                yield self._drawn(mask.float(), logits.float(), batch.inner, size)

    def _drawn(
        self,
        mask_logits: torch.Tensor,
        class_logits: torch.Tensor,
        inner: resize.Inner,
        size: tuple[int, int],
    ) -> LazyPrediction:
        probabilities = class_logits.softmax(-1)[:, :-1]
        count = min(self.settings.detections, probabilities.numel())
        scores, places = probabilities.flatten().topk(count)
        queries = places // self.num_classes
        # Several of the best often come from one query: its mask is worked out once.
        unique, place = queries.unique(return_inverse=True)
        parts, certainty = draw_masks(mask_logits[unique], inner, size)
        scores = scores * certainty[place]
        order = scores.argsort(descending=True, stable=True)
        classes = places % self.num_classes
        return partial(_finished, parts, place[order], classes[order], scores[order])


def _finished(
    parts: Sequence[MaskPart], place: torch.Tensor, classes: torch.Tensor, scores: torch.Tensor
) -> Prediction:
    rles = [rle for part in parts for rle in (encode(part) if torch.is_tensor(part) else part)]
    return Prediction(
        rles=tuple(rles[index] for index in place.tolist()),
        class_indices=classes.cpu().numpy(),
        scores=scores.cpu().numpy(),
    )


class _WeightlessAttention(nn.MultiheadAttention):
    """Cross-attention that never forms the weights, which transformers asks for and drops.

    At full size they are (B, 100 queries, 16,384 cells) a layer, kept for the backward pass.
    """

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """As its base, without weights."""
        return super().forward(*args, **{**kwargs, "need_weights": False})


def draw_masks(
    logits: torch.Tensor, inner: resize.Inner, size: tuple[int, int]
) -> tuple[list[MaskPart], torch.Tensor]:
    """Masks and certainty of each of Q masks, so many at once as memory is meant to hold.

    Where they are too many for that they are encoded at once, part by part.
    """
    at_once = max(1, MASK_PIXELS_AT_ONCE // (size[0] * size[1]))
    parts: list[MaskPart] = []
    certainties = []
    for part in logits.split(at_once):
        masks, certainty = score_masks(upsample(part, inner, size))
        parts.append(masks if len(logits) <= at_once else encode(masks))
        certainties.append(certainty)
    return parts, torch.cat(certainties)


def upsample(logits: torch.Tensor, inner: resize.Inner, size: tuple[int, int]) -> torch.Tensor:
    """``(Q, H, W)`` logits at the picture's size, the padding cut off."""
    padded, (height, width) = inner
    full = F.interpolate(logits[None], size=padded, mode="bilinear", align_corners=False)
    cut = full[..., :height, :width]
    if (height, width) == tuple(size):
        return cut[0]
    return F.interpolate(cut, size=size, mode="bilinear", align_corners=False)[0]


def score_masks(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """``(Q, H, W) bool`` masks and the mean mask probability inside each, ``(Q,)``."""
    masks = logits > 0
    inside = (logits.sigmoid() * masks).sum((1, 2))
    return masks, inside / (masks.sum((1, 2)) + 1e-6)


def _per_channel(values: Sequence[float]) -> torch.Tensor:
    return torch.tensor(values)[:, None, None]


def _transformers_config(settings: Mask2FormerSettings, backbone_config: Any) -> Any:
    from transformers import Mask2FormerConfig

    shape = {attribute: getattr(settings, name) for name, attribute in SHAPE.items()}
    shape["decoder_layers"] += UNCOUNTED_LAYERS
    return Mask2FormerConfig(
        **shape,
        backbone_config=backbone_config,
        feature_size=settings.width,
        mask_feature_size=settings.width,
        no_object_weight=settings.no_object_weight,
        class_weight=settings.class_weight,
        mask_weight=settings.mask_weight,
        dice_weight=settings.dice_weight,
        train_num_points=settings.points,
        oversample_ratio=settings.oversample_ratio,
        importance_sample_ratio=settings.importance_ratio,
    )
