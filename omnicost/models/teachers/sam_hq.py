"""SAM-HQ: SAM with a token of its own for fine masks, which also read the ViT's early features."""

from __future__ import annotations

from typing import Any

import torch

from omnicost.models.teachers.sam import Query, Sam, SamHead
from omnicost.models.teachers.teacher import Decoded, Features, PromptHead
from omnicost.models.teachers.two_way import PerPrompt, flat_maps, mask_weights, ratings, upscale


class SamHQ(Sam):
    """SAM-HQ."""

    architecture = "SamHQModel"

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        (embedding,) = self.levels
        self.levels = (embedding, (int(model.config.vision_config.hidden_size), *embedding[1:]))

    def encode(self, pixels: torch.Tensor) -> Features:
        """The neck's output, then that of the first layer with global attention."""
        output = self.image_encoder(pixels)
        return output.last_hidden_state, output.intermediate_embeddings[0].permute(0, 3, 1, 2)

    def head(self, text_width: int | None = None, seed: int = 0) -> PromptHead:
        """Prompt encoder and mask decoder."""
        return SamHQHead(self, text_width, seed)


class SamHQHead(SamHead):
    """SAM-HQ's prompt encoder and mask decoder, tuned as a whole.

    As its authors', not as transformers' up to 5.24, whose decoder forgets what the two-way
    transformer made of the picture and draws on the embedding before it, rows and columns swapped.
    """

    def answer(self, query: Query, multimask: bool, released: bool) -> Decoded:
        """SAM's logits and the fine mask's, added up as released."""
        decoder = self.mask_decoder
        height, width = query.features[0].shape[-2:]
        own = (decoder.iou_token, decoder.mask_tokens, decoder.hq_token)
        tokens, image = self.attend(query, own)
        coarse = slice(1, len(decoder.output_hypernetworks_mlps)) if multimask else slice(0, 1)
        finer = upscale(decoder, image).transpose(1, 2)
        logits = flat_maps(mask_weights(decoder, tokens[:, 1:], coarse) @ finer, height, width)
        spread = PerPrompt(len(query.prompts), query.image_index)
        fine = self._sharpened(flat_maps(finer, height, width))
        fine = fine + spread(self._fine_features(query.features))
        fine_weights = decoder.hq_mask_mlp(tokens[:, decoder.num_mask_tokens])
        fine_logits = torch.einsum("pc,pchw->phw", fine_weights, fine)[:, None]
        return Decoded(logits + fine_logits, ratings(decoder, tokens[:, 0])[:, coarse])

    def _sharpened(self, maps: torch.Tensor) -> torch.Tensor:
        """``(P, C / 8, 4h, 4w)`` from the like."""
        decoder = self.mask_decoder
        hidden = decoder.activation(decoder.mask_norm(decoder.mask_conv1(maps)))
        return decoder.mask_conv2(hidden)

    def _fine_features(self, features: Features) -> torch.Tensor:
        """``(B, C / 8, 4h, 4w)`` of the pictures, once for all of their prompts."""
        decoder = self.mask_decoder
        embedding, early = features
        late = decoder.activation(decoder.encoder_norm(decoder.encoder_conv1(embedding)))
        first = decoder.activation(decoder.compress_vit_norm(decoder.compress_vit_conv1(early)))
        return decoder.encoder_conv2(late) + decoder.compress_vit_conv2(first)
