"""The mask decoder of SAM's family for prompts on any number of pictures, without needless work.

The weights and the results are those of transformers' decoders (tests hold them to it). What
differs is the work: transformers copies a picture's embedding for every prompt, projects each copy
anew, and upscales with transposed convolutions and channel permutations. Here what no prompt has
touched yet is projected once per picture, the 2 x 2 transposed convolutions are the matrix products
that they are, and only the mask tokens that are asked for become masks.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F


def attend(
    decoder: Any,
    output_tokens: torch.Tensor,
    embedding: torch.Tensor,
    image_index: torch.Tensor | None,
    position: torch.Tensor,
    sparse: torch.Tensor,
    dense: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The two-way transformer: ``(P, T', C)`` tokens and ``(P, h * w, C)`` image.

    Args:
        decoder: with the weights: transformers' ``*MaskDecoder``.
        output_tokens: ``(O, C)``, the first of the T' tokens.
        embedding: ``(B, C, h, w)`` image embeddings.
        image_index: ``(P,) int64``, the picture of each prompt; None when there is one picture.
        position: ``(1, C, h, w)`` image-wide positional embedding.
        sparse: ``(P, T, C)`` prompt tokens.
        dense: ``(C,)`` embedding for the absence of a mask prompt.
    """
    count = len(sparse)
    tokens = torch.cat([output_tokens.expand(count, -1, -1), sparse], dim=1)
    image = (embedding + dense.view(1, -1, 1, 1)).flatten(2).transpose(1, 2)
    where = position.flatten(2).transpose(1, 2)
    queries = tokens
    for number, layer in enumerate(decoder.transformer.layers):
        # Until the first block ends, a picture's tokens are the same for all of its prompts.
        spread = PerPrompt(count, image_index) if number == 0 else _unchanged
        queries, image = _block(layer, queries, tokens, image, where, spread)
    final = decoder.transformer.final_attn_token_to_image
    attended = _attention(final, queries + tokens, image + where, image, _unchanged)
    return decoder.transformer.layer_norm_final_attn(queries + attended), image


def mask_weights(decoder: Any, tokens: torch.Tensor, wanted: slice) -> torch.Tensor:
    """``(P, M, C / 8)`` weights of the masks that are wanted, from ``(P, M', C)`` mask tokens."""
    networks = decoder.output_hypernetworks_mlps
    numbers = range(len(networks))[wanted]
    return torch.stack([networks[number](tokens[:, number]) for number in numbers], dim=1)


def exact(device: torch.device) -> contextlib.AbstractContextManager:
    """No autocast inside: for coordinates and ratings, which cost nothing and need their digits.

    bf16 has 8 bits: a coordinate of a frame of 1,024 pixels would be off by up to 2, a rating by
    0.002, which ties masks that are not alike.
    """
    if not torch.amp.autocast_mode.is_autocast_available(device.type):
        return contextlib.nullcontext()
    return torch.autocast(device.type, enabled=False)


def ratings(decoder: Any, token: torch.Tensor) -> torch.Tensor:
    """``(P, M')`` IoU estimates of all masks from the ``(P, C)`` token for them."""
    with exact(token.device):
        return decoder.iou_prediction_head(token.float())


class PerPrompt:
    """From values of the pictures, ``(B, ...)``, to those of their prompts, ``(P, ...)``."""

    def __init__(self, count: int, image_index: torch.Tensor | None) -> None:
        self.count = count
        self.image_index = image_index

    def __call__(self, values: torch.Tensor) -> torch.Tensor:
        """``(P, ...)``."""
        if self.image_index is None:
            return values.expand(self.count, *values.shape[1:])
        return values[self.image_index]


def upscale(
    decoder: Any,
    image: torch.Tensor,
    near: torch.Tensor | None = None,
    nearest: torch.Tensor | None = None,
) -> torch.Tensor:
    """``(P, h * w * 16, C / 8)`` features of the pixels of the masks, nested as `flat_maps` reads.

    A 2 x 2 transposed convolution of stride 2 gives each pixel's four children from that pixel
    alone, so the channels stay last all the way and only the logits are rearranged.

    Args:
        decoder: with the weights.
        image: ``(P, h * w, C)`` image tokens.
        near: ``(P, h * w, 4, C / 4)`` to add at twice the resolution.
        nearest: ``(P, h * w, 16, C / 8)`` to add at four times.
    """
    norm = decoder.upscale_layer_norm
    fine = F.linear(image, *_as_linear(decoder.upscale_conv1)).unflatten(-1, (4, -1))
    if near is not None:
        fine = fine + near
    fine = F.layer_norm(fine, norm.normalized_shape, norm.weight, norm.bias, norm.eps)
    finer = F.linear(decoder.activation(fine), *_as_linear(decoder.upscale_conv2))
    finer = finer.unflatten(-1, (4, -1))
    if nearest is not None:
        finer = finer + nearest.unflatten(2, (4, 4))
    return decoder.activation(finer).flatten(1, 3)


def flat_maps(nested: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """``(P, M, 4h, 4w)`` maps from ``(P, M, h * w * 16)`` values in the order of `upscale`."""
    parts = nested.unflatten(-1, (height, width, 2, 2, 2, 2))
    return parts.permute(0, 1, 2, 4, 6, 3, 5, 7).reshape(len(nested), -1, 4 * height, 4 * width)


def nested_maps(maps: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """``(B, h * w, k * k, C)`` in the order of `upscale`, from maps of ``(B, C, k h, k w)``."""
    halvings = (maps.shape[-1] // width).bit_length() - 1
    rows, columns = (height, *[2] * halvings), (width, *[2] * halvings)
    parts = maps.unflatten(-1, columns).unflatten(2, rows)
    # B, C, then row and column of each scale in turn
    pairs = [axis for n in range(halvings + 1) for axis in (2 + n, 3 + halvings + n)]
    return parts.permute(0, *pairs, 1).flatten(1, 2).flatten(2, -2)


def _block(
    layer: Any,
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
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    spread: Callable[[torch.Tensor], torch.Tensor],
) -> torch.Tensor:
    """Attention whose keys and values are projected before `spread` hands them to the prompts."""
    projected = module.q_proj(query), spread(module.k_proj(key)), spread(module.v_proj(value))
    return _projected_attention(module, *projected)


def _projected_attention(
    module: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
) -> torch.Tensor:
    heads = module.num_attention_heads
    query, key, value = (
        part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in (query, key, value)
    )
    attended = F.scaled_dot_product_attention(query, key, value, scale=module.scaling)
    merge = module.o_proj if hasattr(module, "o_proj") else module.out_proj
    return merge(attended.transpose(1, 2).flatten(2))


def _unchanged(values: torch.Tensor) -> torch.Tensor:
    return values


def _as_linear(convolution: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Weight ``(4 D, C)`` and bias ``(4 D,)``, children in the order (row, column)."""
    weight = convolution.weight.permute(2, 3, 1, 0).flatten(0, 2)
    return weight, convolution.bias.repeat(4)
