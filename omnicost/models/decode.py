"""SAM's mask decoder for prompts on any number of pictures, without needless work.

The weights and the results are those of transformers' `SamMaskDecoder` (a test holds them to it).
What differs is the work: transformers copies a picture's embedding for every prompt, projects each
copy anew, and upscales with transposed convolutions and channel permutations. Here what no prompt
has touched yet is projected once per picture, the 2 x 2 transposed convolutions are the matrix
products that they are, and only the mask tokens that are asked for become masks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch.nn.functional as F

if TYPE_CHECKING:
    from transformers.models.sam.modeling_sam import (
        SamAttention,
        SamMaskDecoder,
        SamTwoWayAttentionBlock,
    )

CACHE_ELEMENTS = 1 << 20  # of one prompt batch's image tokens: measured fastest on a CPU
GPU_PROMPTS = 64


class Decoded(NamedTuple):
    """Masks of P prompts, M for each, at a quarter of the frame's resolution."""

    logits: torch.Tensor  # (P, M, h, w)
    iou: torch.Tensor  # (P, M) the decoder's own estimate


def prompts_at_once(embedding: torch.Tensor, asked: int | None) -> int:
    """How many prompts to decode together: what is asked, or what is fastest on the device.

    Args:
        embedding: ``(B, C, h, w)`` of the pictures.
        asked: the setting; None to choose by device and size (never by timing: two runs of the
            same settings must add up the same numbers in the same order).
    """
    if asked is not None:
        return asked
    if embedding.device.type != "cpu":
        return GPU_PROMPTS
    return min(GPU_PROMPTS, max(1, CACHE_ELEMENTS // embedding[0].numel()))


def decode(
    decoder: SamMaskDecoder,
    embedding: torch.Tensor,
    image_index: torch.Tensor | None,
    position: torch.Tensor,
    sparse: torch.Tensor,
    dense: torch.Tensor,
    multimask: bool = False,
) -> Decoded:
    """Masks for P prompts.

    Args:
        decoder: with the weights.
        embedding: ``(B, C, h, w)`` image embeddings.
        image_index: ``(P,) int64``, the picture of each prompt; None when there is one picture.
        position: ``(1, C, h, w)`` image-wide positional embedding.
        sparse: ``(P, T, C)`` prompt tokens.
        dense: ``(C,)`` embedding for the absence of a mask prompt.
        multimask: the three masks of the multi-mask tokens instead of the single mask.
    """
    height, width = embedding.shape[-2:]
    tokens, image = _attend(decoder, embedding, image_index, position, sparse, dense)
    wanted = slice(1, decoder.num_mask_tokens) if multimask else slice(0, 1)
    iou = decoder.iou_prediction_head(tokens[:, 0])[:, wanted]
    hyper = torch.stack(
        [
            decoder.output_hypernetworks_mlps[number](tokens[:, 1 + number])
            for number in range(decoder.num_mask_tokens)[wanted]
        ],
        dim=1,
    )
    return Decoded(_masks(decoder, image, hyper, height, width), iou)


def _attend(
    decoder: SamMaskDecoder,
    embedding: torch.Tensor,
    image_index: torch.Tensor | None,
    position: torch.Tensor,
    sparse: torch.Tensor,
    dense: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The two-way transformer: ``(P, T', C)`` tokens and ``(P, h * w, C)`` image."""
    count = len(sparse)
    output_tokens = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
    tokens = torch.cat([output_tokens.expand(count, -1, -1), sparse], dim=1)
    image = (embedding + dense.view(1, -1, 1, 1)).flatten(2).transpose(1, 2)
    where = position.flatten(2).transpose(1, 2)
    queries = tokens
    for number, layer in enumerate(decoder.transformer.layers):
        # Until the first block ends, a picture's tokens are the same for all of its prompts.
        spread = _Spread(count, image_index) if number == 0 else _unchanged
        queries, image = _block(layer, queries, tokens, image, where, spread)
    final = decoder.transformer.final_attn_token_to_image
    attended = _attention(final, queries + tokens, image + where, image, _unchanged)
    return decoder.transformer.layer_norm_final_attn(queries + attended), image


def _block(
    layer: SamTwoWayAttentionBlock,
    queries: torch.Tensor,
    tokens: torch.Tensor,
    image: torch.Tensor,
    where: torch.Tensor,
    spread: Callable[[torch.Tensor], torch.Tensor],
) -> tuple[torch.Tensor, torch.Tensor]:
    if layer.skip_first_layer_pe:
        queries = _attention(layer.self_attn, queries, queries, queries, _unchanged)
    else:
        placed = queries + tokens
        queries = queries + _attention(layer.self_attn, placed, placed, queries, _unchanged)
    queries = layer.layer_norm1(queries)
    image_placed = image + where
    attended = _attention(
        layer.cross_attn_token_to_image, queries + tokens, image_placed, image, spread
    )
    queries = layer.layer_norm2(queries + attended)
    queries = layer.layer_norm3(queries + layer.mlp(queries))
    to_image = layer.cross_attn_image_to_token
    asked = spread(to_image.q_proj(image_placed))
    attended = _projected_attention(
        to_image, asked, to_image.k_proj(queries + tokens), to_image.v_proj(queries)
    )
    return queries, layer.layer_norm4(spread(image) + attended)


def _attention(
    module: SamAttention,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    spread: Callable[[torch.Tensor], torch.Tensor],
) -> torch.Tensor:
    """Attention whose keys and values are projected before `spread` hands them to the prompts."""
    projected = module.q_proj(query), spread(module.k_proj(key)), spread(module.v_proj(value))
    return _projected_attention(module, *projected)


def _projected_attention(
    module: SamAttention, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
) -> torch.Tensor:
    heads = module.num_attention_heads
    query, key, value = (
        part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in (query, key, value)
    )
    attended = F.scaled_dot_product_attention(query, key, value, scale=module.scaling)
    return module.out_proj(attended.transpose(1, 2).flatten(2))


class _Spread:
    """From ``(B, N, D)`` of the pictures to ``(P, N, D)`` of their prompts."""

    def __init__(self, count: int, image_index: torch.Tensor | None) -> None:
        self.count = count
        self.image_index = image_index

    def __call__(self, values: torch.Tensor) -> torch.Tensor:
        if self.image_index is None:
            return values.expand(self.count, -1, -1)
        return values[self.image_index]


def _unchanged(values: torch.Tensor) -> torch.Tensor:
    return values


def _masks(
    decoder: SamMaskDecoder, image: torch.Tensor, hyper: torch.Tensor, height: int, width: int
) -> torch.Tensor:
    """``(P, M, 4h, 4w)`` logits from ``(P, h * w, C)`` image tokens and ``(P, M, C / 8)`` weights.

    A 2 x 2 transposed convolution of stride 2 gives each pixel's four children from that pixel
    alone, so the channels stay last all the way and only the logits are rearranged.
    """
    norm = decoder.upscale_layer_norm
    fine = F.linear(image, *_as_linear(decoder.upscale_conv1)).unflatten(-1, (4, -1))
    fine = F.layer_norm(fine, norm.normalized_shape, norm.weight, norm.bias, norm.eps)
    finer = F.linear(decoder.activation(fine), *_as_linear(decoder.upscale_conv2))
    finer = decoder.activation(finer.unflatten(-1, (4, -1))).flatten(1, 3)
    logits = hyper @ finer.transpose(1, 2)
    nested = logits.unflatten(-1, (height, width, 2, 2, 2, 2))
    return nested.permute(0, 1, 2, 4, 6, 3, 5, 7).reshape(len(logits), -1, 4 * height, 4 * width)


def _as_linear(convolution: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Weight ``(4 D, C)`` and bias ``(4 D,)``, children in the order (row, column)."""
    weight = convolution.weight.permute(2, 3, 1, 0).flatten(0, 2)
    return weight, convolution.bias.repeat(4)
