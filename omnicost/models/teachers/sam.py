"""Segment Anything: a promptable model whose image embedding is one map."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import torch
from torch import nn

from omnicost.models.loading import read_pth
from omnicost.models.teachers.class_aware import ClassBranch
from omnicost.models.teachers.frame import Frame, Prompts
from omnicost.models.teachers.official_sam import from_official, official_config
from omnicost.models.teachers.teacher import Decoded, Features, Promptable, PromptHead
from omnicost.models.teachers.two_way import (
    attend,
    exact,
    flat_maps,
    mask_weights,
    ratings,
    upscale,
)


class Sam(Promptable):
    """SAM, from a folder or an official ``.pth``."""

    architecture = "SamModel"

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        vision = model.config.vision_config
        self.frame = Frame(int(vision.image_size))
        grid = self.frame.side // int(vision.patch_size)
        self.levels = ((int(vision.output_channels), grid, grid),)

    @classmethod
    def load(cls, path: Path, attention: str) -> Self:
        """From a folder or an official file."""
        if path.is_file():
            return cls(from_official(read_pth(path, "sam"), path, attention))
        return super().load(path, attention)

    @classmethod
    def config_of(cls, path: Path) -> Any:
        """That of the folder, or read from the tensors of an official file."""
        if path.is_file():
            return official_config(read_pth(path, "sam"), path)
        return super().config_of(path)

    @property
    def image_encoder(self) -> nn.Module:
        """The ViT and its neck."""
        return self.model.vision_encoder

    @property
    def largest_tensor(self) -> int:
        """Every head's position bias between all tokens, or the hidden layer of the MLP."""
        vision, tokens = self.model.config.vision_config, math.prod(self.levels[0][1:])
        return max(vision.num_attention_heads * tokens**2, tokens * vision.mlp_dim)

    def encode(self, pixels: torch.Tensor) -> Features:
        """The neck's output."""
        return (self.image_encoder(pixels).last_hidden_state,)

    def head(self, text_width: int | None = None, seed: int = 0) -> PromptHead:
        """Prompt encoder and mask decoder."""
        return SamHead(self, text_width, seed)


class Query(NamedTuple):
    """P encoded prompts on B pictures, as `PromptHead` has them."""

    features: Features
    image_index: torch.Tensor | None
    prompts: torch.Tensor  # (P, T, C)


class SamHead(PromptHead):
    """SAM's prompt encoder and mask decoder, copied from a model of its family.

    Trainable are all parameters but the positional embedding, which image and prompts share (it is
    a constant in the original, a `Parameter` in transformers); of a class-aware head's two prompt
    encoders only the branch's.
    """

    position: torch.Tensor  # (1, C, h, w) of the image embedding

    def __init__(self, released: Promptable, text_width: int | None = None, seed: int = 0) -> None:
        super().__init__()
        self.frame = released.frame
        model = released.model
        shared = model.prompt_encoder.shared_embedding
        self.prompt_encoder = copy.deepcopy(model.prompt_encoder, {id(shared): shared})
        self.mask_decoder = copy.deepcopy(model.mask_decoder)
        for part in (self.prompt_encoder, self.mask_decoder):
            part.requires_grad_(True)
        shared.requires_grad_(False)
        self.class_branch: ClassBranch | None = None
        if text_width is not None:
            width = self.prompt_encoder.hidden_size
            self.class_branch = ClassBranch(self.prompt_encoder, shared, width, text_width, seed)
            self.prompt_encoder.requires_grad_(False)
        with torch.no_grad():
            position = model.get_image_wide_positional_embeddings()
        self.register_buffer("position", position, persistent=False)

    def forward(
        self,
        features: Features,
        image_index: torch.Tensor | None,
        prompts: Prompts,
        class_text: torch.Tensor | None = None,
        multimask: bool = False,
        released: bool = False,
    ) -> Decoded:
        """As `PromptHead` says."""
        query = Query(features, image_index, self.prompt_tokens(prompts, class_text))
        return self.answer(query, multimask, released)

    def answer(self, query: Query, multimask: bool, released: bool) -> Decoded:
        """Masks for encoded prompts; SAM's one mask is its first token's, released or tuned."""
        pictures = query.features[0], query.image_index, self.position
        return decode(self.mask_decoder, *pictures, query.prompts, self.no_mask, multimask)

    def attend(
        self, query: Query, own: Sequence[nn.Embedding]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What the two-way transformer makes of the decoder's own tokens, and of the pictures."""
        return attend(
            self.mask_decoder,
            torch.cat([each.weight for each in own]),
            query.features[0],
            query.image_index,
            self.position,
            query.prompts,
            self.no_mask,
        )

    @property
    def no_mask(self) -> torch.Tensor:
        """``(C,)`` dense embedding for the absence of a mask prompt."""
        return self.prompt_encoder.no_mask_embed.weight[0]

    @property
    def multimask_tokens(self) -> int:
        """All mask tokens but the single mask's."""
        return len(self.mask_decoder.output_hypernetworks_mlps) - 1

    @torch.no_grad()
    def lead_with(self, token: int) -> None:
        """Copy the token, its hypernetwork and its rating over the single mask's."""
        decoder, place = self.mask_decoder, token + 1
        networks, rating = decoder.output_hypernetworks_mlps, decoder.iou_prediction_head.proj_out
        networks[0].load_state_dict(networks[place].state_dict())
        for rows in (decoder.mask_tokens.weight, rating.weight, rating.bias):
            rows[0] = rows[place]

    def prompt_tokens(self, prompts: Prompts, class_text: torch.Tensor | None) -> torch.Tensor:
        """``(P, T, C)``: 2 tokens for a box or for a point and its padding, 3 for point and box."""

        def encode(encoder: nn.Module) -> torch.Tensor:
            points, labels, boxes = prompts.parts
            sparse, _ = encoder(
                input_points=None if points is None else points[None],
                input_labels=None if labels is None else labels[None],
                input_boxes=None if boxes is None else boxes[None],
                input_masks=None,
            )
            return sparse[0]

        with exact(self.position.device):
            if self.class_branch is None:
                return encode(self.prompt_encoder)
            return self.class_branch(self.prompt_encoder, encode, class_text)


def decode(
    decoder: Any,
    embedding: torch.Tensor,
    image_index: torch.Tensor | None,
    position: torch.Tensor,
    sparse: torch.Tensor,
    dense: torch.Tensor,
    multimask: bool = False,
) -> Decoded:
    """Masks for P prompts.

    Args:
        decoder: transformers' `SamMaskDecoder` with the weights.
        embedding: ``(B, C, h, w)`` image embeddings.
        image_index: ``(P,) int64``, the picture of each prompt; None when there is one picture.
        position: ``(1, C, h, w)`` image-wide positional embedding.
        sparse: ``(P, T, C)`` prompt tokens.
        dense: ``(C,)`` embedding for the absence of a mask prompt.
        multimask: the three masks of the multi-mask tokens instead of the single mask.
    """
    height, width = embedding.shape[-2:]
    output_tokens = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
    tokens, image = attend(decoder, output_tokens, embedding, image_index, position, sparse, dense)
    wanted = slice(1, decoder.num_mask_tokens) if multimask else slice(0, 1)
    iou = ratings(decoder, tokens[:, 0])[:, wanted]
    hyper = mask_weights(decoder, tokens[:, 1:], wanted)
    logits = hyper @ upscale(decoder, image).transpose(1, 2)
    return Decoded(flat_maps(logits, height, width), iou)
