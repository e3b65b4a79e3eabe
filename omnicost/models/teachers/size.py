"""How large a promptable model is, by its config alone: for prices before anything is loaded."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple


class Size(NamedTuple):
    """What a picture and a prompt cost.

    Args:
        parameters: of the image encoder.
        encode_macs: multiply-adds that encode a picture.
        decode_macs: multiply-adds that draw a prompt.
        cached_numbers: that a cache holds of a picture.
        largest_tensor: numbers in the largest tensor while a picture is encoded.
    """

    parameters: float
    encode_macs: float
    decode_macs: float
    cached_numbers: int
    largest_tensor: float


class Layer(NamedTuple):
    """Some linear maps in a row that see the same tokens, and the attention between them."""

    tokens: float
    weights: float
    attention_macs: float = 0.0

    @property
    def macs(self) -> float:
        """Multiply-adds of all."""
        return self.tokens * self.weights + self.attention_macs


def totals(layers: Sequence[Layer]) -> tuple[float, float]:
    """Parameters and multiply-adds."""
    return sum(each.weights for each in layers), sum(each.macs for each in layers)


def vit_layers(vision: Any) -> Iterator[Layer]:
    """SAM's ViT: windows, some global layers, and the neck."""
    grid, width = vision.image_size // vision.patch_size, vision.hidden_size
    tokens = grid**2
    yield Layer(tokens, 3 * vision.patch_size**2 * width)
    yield Layer(0, tokens * width)  # the positions
    for number in range(vision.num_hidden_layers):
        is_global = number in vision.global_attn_indexes
        side = grid if is_global else vision.window_size
        padded = (math.ceil(grid / side) * side) ** 2
        # Each token with those of its window, and with the rows and columns of its positions.
        yield Layer(padded, 4 * width**2, 2 * padded * width * (side**2 + side))
        yield Layer(tokens, 2 * width * vision.mlp_dim)
    channels = vision.output_channels
    yield Layer(tokens, width * channels + 9 * channels**2)


def vit_largest(vision: Any) -> float:
    """Every head's position bias between all tokens, or the hidden layer of the MLP."""
    tokens = (vision.image_size // vision.patch_size) ** 2
    return max(vision.num_attention_heads * tokens**2, tokens * vision.mlp_dim)


def hiera_layers(backbone: Any) -> Iterator[Layer]:
    """SAM 2's Hiera, which halves the grid and widens at the first block of a stage."""
    grid = backbone.image_size[0] // backbone.patch_stride[0]
    width = backbone.embed_dim_per_stage[0]
    yield Layer(grid**2, 3 * math.prod(backbone.patch_kernel_size) * width)
    number, window = 0, backbone.window_size_per_stage[0]
    for stage, blocks in enumerate(backbone.blocks_per_stage):
        for block in range(blocks):
            out = backbone.embed_dim_per_stage[stage]
            pools = block == 0 and 0 < stage <= backbone.num_query_pool_stages
            side = grid if number in backbone.global_attention_blocks else window
            padded = (math.ceil(grid / side) * side) ** 2
            after = grid // backbone.query_stride[0] if pools else grid
            asking = padded / math.prod(backbone.query_stride) if pools else padded
            yield Layer(padded, 3 * width * out, 2 * asking * out * side**2)
            if width != out:
                yield Layer(grid**2, width * out)
            yield Layer(asking, out**2)
            yield Layer(after**2, 2 * out**2 * backbone.mlp_ratio)
            # The first block of a stage still has the windows of the stage before.
            grid, width, window = after, out, backbone.window_size_per_stage[stage]
            number += 1


def hiera_largest(backbone: Any) -> float:
    """The hidden layer of the first stage's MLPs."""
    grid = backbone.image_size[0] // backbone.patch_stride[0]
    return grid**2 * backbone.embed_dim_per_stage[0] * backbone.mlp_ratio


def decode_macs(decoder: Any, grid: int) -> float:
    """Multiply-adds of the two-way transformer on the image's tokens, and of the masks."""
    tokens, width = grid**2, decoder.hidden_size
    inner = width // decoder.attention_downsample_rate
    # Projections of the image's tokens: four a block and two at the end, of which the first block's
    # queries, keys and values serve all prompts of a picture.
    attention = 4 * decoder.num_hidden_layers + 2 - 3
    upscaling = width * width + 4 * (width // 4) * (width // 2)
    return tokens * (attention * width * inner + upscaling)
