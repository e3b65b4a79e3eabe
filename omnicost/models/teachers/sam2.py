"""SAM 2 and 2.1 on single pictures: three levels of features, no memory of objects."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from omnicost.models.teachers.frame import Frame
from omnicost.models.teachers.sam import Query, SamHead
from omnicost.models.teachers.teacher import Decoded, Features, Promptable, PromptHead
from omnicost.models.teachers.two_way import (
    PerPrompt,
    flat_maps,
    mask_weights,
    nested_maps,
    ratings,
    upscale,
)


class Sam2(Promptable):
    """SAM 2; of a model for videos, as the hub holds them, the image half.

    Its decoder reads two finer levels through a 1 x 1 convolution each. As in the released image
    predictor these run once a picture, before the cache: 8 MB a picture instead of 44. So they stay
    as released where the rest of the decoder is tuned.
    """

    architecture = "Sam2Model"

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self.frame = Frame(int(model.config.prompt_encoder_config.image_size), stretched=True)
        nearest, near, last = model.config.vision_config.backbone_feature_sizes
        width, decoder = model.config.vision_config.fpn_hidden_size, model.mask_decoder
        channels = (width, decoder.conv_s1.out_channels, decoder.conv_s0.out_channels)
        sizes = zip(channels, (last, near, nearest), strict=True)
        self.levels = tuple((each, rows, columns) for each, (rows, columns) in sizes)

    @property
    def image_encoder(self) -> nn.Module:
        """Hiera and its feature pyramid."""
        return self.model.vision_encoder

    @property
    def largest_tensor(self) -> int:
        """The hidden layer of the first stage's MLPs."""
        hiera, tokens = self.model.config.vision_config.backbone_config, self.levels[-1][1:]
        return int(math.prod(tokens) * hiera.embed_dim_per_stage[0] * hiera.mlp_ratio)

    def encode(self, pixels: torch.Tensor) -> Features:
        """The coarsest level, then those of twice and four times its resolution."""
        nearest, near, last = self.image_encoder(pixels).fpn_hidden_states
        # What the video model reads from its memory where there is none.
        last = last + self.model.no_memory_embedding.view(1, -1, 1, 1)
        decoder = self.model.mask_decoder
        return last, decoder.conv_s1(near), decoder.conv_s0(nearest)

    def head(self, text_width: int | None = None, seed: int = 0) -> PromptHead:
        """Prompt encoder and mask decoder."""
        return Sam2Head(self, text_width, seed)


class Sam2Head(SamHead):
    """SAM 2's prompt encoder and mask decoder.

    Besides what `SamHead` leaves alone, what runs before the cache and the score of an object's
    presence in a video frame, which no picture asks for, are not trained.
    """

    def __init__(self, released: Promptable, text_width: int | None = None, seed: int = 0) -> None:
        super().__init__(released, text_width, seed)
        decoder = self.mask_decoder
        for part in (decoder.conv_s0, decoder.conv_s1, decoder.pred_obj_score_head):
            part.requires_grad_(False)

    def answer(self, query: Query, multimask: bool, released: bool) -> Decoded:
        """As SAM's; a released single mask that is unstable gives way to another token's."""
        decoder = self.mask_decoder
        fall_back = released and not multimask and decoder.dynamic_multimask_via_stability
        first, end = (1, None) if multimask else (0, None) if fall_back else (0, 1)
        decoded = self._decoded(query, slice(first, end))
        return self._stable(decoded) if fall_back else decoded

    def _decoded(self, query: Query, wanted: slice) -> Decoded:
        decoder = self.mask_decoder
        embedding, near, nearest = query.features
        height, width = embedding.shape[-2:]
        own = (decoder.obj_score_token, decoder.iou_token, decoder.mask_tokens)
        tokens, image = self.attend(query, own)
        spread = PerPrompt(len(query.prompts), query.image_index)
        finer = upscale(
            decoder,
            image,
            spread(nested_maps(near, height, width)),
            spread(nested_maps(nearest, height, width)),
        )
        logits = mask_weights(decoder, tokens[:, 2:], wanted) @ finer.transpose(1, 2)
        iou = ratings(decoder, tokens[:, 1])[:, wanted]
        return Decoded(flat_maps(logits, height, width), iou)

    def _stable(self, decoded: Decoded) -> Decoded:
        """The single mask, or the likeliest of the three where its outline is uncertain."""
        decoder, single = self.mask_decoder, decoded.logits[:, 0]
        delta = decoder.dynamic_multimask_stability_delta
        inner, outer = ((single > each).sum((1, 2)).float() for each in (delta, -delta))
        stability = torch.where(outer > 0, inner / outer, 1.0)
        best = decoded.iou[:, 1:].argmax(1) + 1
        token = torch.where(stability >= decoder.dynamic_multimask_stability_thresh, 0, best)
        rows = torch.arange(len(token), device=token.device)
        return Decoded(decoded.logits[rows, token][:, None], decoded.iou[rows, token][:, None])
