"""Segment Anything in the authors' format: their names, and sizes read from the tensors."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch

from omnicost.errors import InputError
from omnicost.models.loading import fill

if TYPE_CHECKING:
    from transformers import SamConfig, SamModel

# MLPs of the mask decoder, three layers each in every release.
_HEAD: Final = r"^(mask_decoder\.(?:iou_prediction_head|output_hypernetworks_mlps\.\d+))\.layers"
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
    (rf"{_HEAD}\.0\.", r"\1.proj_in."),
    (rf"{_HEAD}\.1\.", r"\1.layers.0."),
    (rf"{_HEAD}\.2\.", r"\1.proj_out."),
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
    renamed = {_new_name(name): value for name, value in state.items()}
    position = renamed.get(f"prompt_encoder.{_POSITION}")
    if position is not None:  # tied in transformers: stored under both names
        renamed["shared_image_embedding.positional_embedding"] = position
    return renamed


def official_config(state: dict[str, torch.Tensor], path: Path) -> SamConfig:
    """The configuration that a `segment_anything` checkpoint was made with."""
    from transformers import SamConfig

    try:
        return SamConfig(**_sizes(state))
    except KeyError as error:
        raise InputError(
            f"sam weights {path}",
            f"not a sam_vit_{{b,l,h}} checkpoint (lacks {error})",
            "name an official SAM file",
        ) from None


def _sizes(state: dict[str, torch.Tensor]) -> dict[str, dict[str, Any]]:
    """Sizes of the three parts, which the tensors' shapes give away."""
    position = state["image_encoder.pos_embed"]
    grid, width = position.shape[1], position.shape[-1]
    patch = state["image_encoder.patch_embed.proj.weight"].shape[-1]
    channels = len(state["image_encoder.neck.0.weight"])
    depth = sum(name.endswith("attn.qkv.weight") for name in state)
    spans = [len(state[f"image_encoder.blocks.{n}.attn.rel_pos_h"]) for n in range(depth)]
    whole = 2 * grid - 1  # relative positions along a side
    windows = [(span + 1) // 2 for span in spans if span != whole]
    picture = {"image_size": grid * patch, "patch_size": patch}
    vision = {
        **picture,
        "hidden_size": width,
        "output_channels": channels,
        "num_hidden_layers": depth,
        "num_attention_heads": _HEADS_OF_WIDTH[width],
        "window_size": next(iter(windows), _PATCHES_PER_WINDOW_SIDE),
        "global_attn_indexes": [n for n, span in enumerate(spans) if span == whole],
        "num_pos_feats": channels // 2,
        "mlp_dim": len(state["image_encoder.blocks.0.mlp.lin1.weight"]),
    }
    decoder = {
        "hidden_size": channels,
        "mlp_dim": len(state["mask_decoder.transformer.layers.0.mlp.lin1.weight"]),
        "num_attention_heads": _DECODER_HEADS,
    }
    return {
        "vision_config": vision,
        "prompt_encoder_config": {**picture, "hidden_size": channels},
        "mask_decoder_config": decoder,
    }


def _new_name(name: str) -> str:
    for old, new in _RENAMED:
        name = re.sub(old, new, name)
    return name
