"""Segment Anything in the authors' format: their names, and sizes read from the tensors."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import torch

from omnicost.errors import InputError
from omnicost.models.loading import fill

if TYPE_CHECKING:
    from transformers import SamConfig, SamModel

# Names of `segment_anything` on the left, of transformers on the right, in order of application.
_RENAMED: Final = (
    (r"^image_encoder\.", "vision_encoder."),
    (r"\.blocks\.(\d+)\.norm1\.", r".layers.\1.layer_norm1."),
    (r"\.blocks\.(\d+)\.norm2\.", r".layers.\1.layer_norm2."),
    (r"\.blocks\.", ".layers."),
    (r"\.patch_embed\.proj\.", ".patch_embed.projection."),
    (r"\.neck\.0\.", ".neck.conv1."),
    (r"\.neck\.1\.", ".neck.layer_norm1."),
    (r"\.neck\.2\.", ".neck.conv2."),
    (r"\.neck\.3\.", ".neck.layer_norm2."),
    (r"^prompt_encoder\.point_embeddings\.", "prompt_encoder.point_embed."),
    (r"\.mask_downscaling\.0\.", ".mask_embed.conv1."),
    (r"\.mask_downscaling\.1\.", ".mask_embed.layer_norm1."),
    (r"\.mask_downscaling\.3\.", ".mask_embed.conv2."),
    (r"\.mask_downscaling\.4\.", ".mask_embed.layer_norm2."),
    (r"\.mask_downscaling\.6\.", ".mask_embed.conv3."),
    (r"\.pe_layer\.positional_encoding_gaussian_matrix$", ".shared_embedding.positional_embedding"),
    (r"^(mask_decoder\.transformer\..*)\.norm([1-4])\.", r"\1.layer_norm\2."),
    (r"\.norm_final_attn\.", ".layer_norm_final_attn."),
    (r"\.output_upscaling\.0\.", ".upscale_conv1."),
    (r"\.output_upscaling\.1\.", ".upscale_layer_norm."),
    (r"\.output_upscaling\.3\.", ".upscale_conv2."),
)
# MLPs of the mask decoder: first and last layer have names of their own in transformers.
_HEAD: Final = re.compile(
    r"^(mask_decoder\.(?:iou_prediction_head|output_hypernetworks_mlps\.\d+))\.layers\.(\d+)\.(.*)$"
)
_POSITION: Final = "shared_embedding.positional_embedding"
# What no tensor's shape tells, by encoder width: attention heads (segment_anything/build_sam.py).
_HEADS_OF_WIDTH: Final = {768: 12, 1024: 16, 1280: 16}
_DECODER_HEADS: Final = 8
_PATCHES_PER_WINDOW_SIDE: Final = 14


def from_official(state: dict[str, torch.Tensor], path: Path, attention: str = "sdpa") -> SamModel:
    """A model from the tensors of a `segment_anything` checkpoint; its size is read from them.

    Raises:
        InputError: if they are not a SAM's, or of an encoder of unknown width.
    """
    from transformers import SamModel

    model = SamModel._from_config(official_config(state, path), attn_implementation=attention)
    fill(model, rename_official(state), path, "sam")
    return model


def rename_official(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """`segment_anything`'s tensors under transformers' names."""
    depths = _head_depths(state)
    renamed = {_new_name(name, depths): value for name, value in state.items()}
    position = renamed.get(f"prompt_encoder.{_POSITION}")
    if position is not None:  # tied in transformers: stored under both names
        renamed["shared_image_embedding.positional_embedding"] = position
    return renamed


class _Shapes(NamedTuple):
    """Sizes that the tensors of a checkpoint give away."""

    width: int
    patch: int
    grid: int
    depth: int
    mlp: int
    channels: int
    global_layers: list[int]


def official_config(state: dict[str, torch.Tensor], path: Path) -> SamConfig:
    """The configuration that a `segment_anything` checkpoint was made with."""
    from transformers import SamConfig

    try:
        shapes = _shapes(state)
        heads = _HEADS_OF_WIDTH[shapes.width]
        decoder_mlp = len(state["mask_decoder.transformer.layers.0.mlp.lin1.weight"])
    except KeyError as error:
        raise InputError(
            f"sam weights {path}",
            f"not a sam_vit_{{b,l,h}} checkpoint (lacks {error})",
            "name an official SAM file",
        ) from None
    image_size = shapes.grid * shapes.patch
    vision = {
        "hidden_size": shapes.width,
        "output_channels": shapes.channels,
        "num_hidden_layers": shapes.depth,
        "num_attention_heads": heads,
        "image_size": image_size,
        "patch_size": shapes.patch,
        "window_size": _window(state, shapes),
        "global_attn_indexes": shapes.global_layers,
        "num_pos_feats": shapes.channels // 2,
        "mlp_dim": shapes.mlp,
    }
    prompts = {
        "hidden_size": shapes.channels,
        "image_size": image_size,
        "patch_size": shapes.patch,
    }
    decoder = {
        "hidden_size": shapes.channels,
        "mlp_dim": decoder_mlp,
        "num_attention_heads": _DECODER_HEADS,
    }
    return SamConfig(
        vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=decoder
    )


def _shapes(state: dict[str, torch.Tensor]) -> _Shapes:
    position = state["image_encoder.pos_embed"]
    patches = state["image_encoder.patch_embed.proj.weight"]
    depth = sum(name.endswith("attn.qkv.weight") for name in state)
    grid = position.shape[1]
    spans = [len(state[f"image_encoder.blocks.{n}.attn.rel_pos_h"]) for n in range(depth)]
    return _Shapes(
        width=position.shape[-1],
        patch=patches.shape[-1],
        grid=grid,
        depth=depth,
        mlp=len(state["image_encoder.blocks.0.mlp.lin1.weight"]),
        channels=len(state["image_encoder.neck.0.weight"]),
        global_layers=[n for n, span in enumerate(spans) if span == 2 * grid - 1],
    )


def _window(state: dict[str, torch.Tensor], shapes: _Shapes) -> int:
    local = [n for n in range(shapes.depth) if n not in shapes.global_layers]
    if not local:
        return _PATCHES_PER_WINDOW_SIDE
    return (len(state[f"image_encoder.blocks.{local[0]}.attn.rel_pos_h"]) + 1) // 2


def _head_depths(state: dict[str, Any]) -> dict[str, int]:
    depths: dict[str, int] = {}
    for name in state:
        if match := _HEAD.match(name):
            depths[match[1]] = max(depths.get(match[1], 0), int(match[2]))
    return depths


def _new_name(name: str, depths: dict[str, int]) -> str:
    if match := _HEAD.match(name):
        head, number, rest = match[1], int(match[2]), match[3]
        layer = {0: "proj_in", depths[head]: "proj_out"}.get(number, f"layers.{number - 1}")
        return f"{head}.{layer}.{rest}"
    for old, new in _RENAMED:
        name = re.sub(old, new, name)
    return name
