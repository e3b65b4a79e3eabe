"""Official GroundingDINO checkpoints (``groundingdino_swin{t,b}*.pth``) in transformers' model.

Names and shapes are those of IDEA-Research/GroundingDINO @856dde2. Two things are more than names:
transformers splits the packed query-key-value projections, and the sizes that no config file
travels with are read from the tensors.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch

from omnicost.errors import InputError
from omnicost.models.loading import fill

if TYPE_CHECKING:
    from transformers import GroundingDinoConfig, GroundingDinoForObjectDetection

_BACKBONE: Final = "model.backbone.conv_encoder.model."
# The authors' names on the left, transformers' on the right, in order of application.
_RENAMED: Final = (
    # The backbone; its stages count from 0, in transformers from 1.
    (r"^backbone\.0\.norm1\.", f"{_BACKBONE}hidden_states_norms.stage2."),
    (r"^backbone\.0\.norm2\.", f"{_BACKBONE}hidden_states_norms.stage3."),
    (r"^backbone\.0\.norm3\.", f"{_BACKBONE}hidden_states_norms.stage4."),
    (r"^backbone\.0\.patch_embed\.proj\.", "backbone.0.embeddings.patch_embeddings.projection."),
    (r"^backbone\.0\.patch_embed\.", "backbone.0.embeddings."),
    (r"^backbone\.0\.layers\.", "backbone.0.encoder.layers."),
    (r"^backbone\.0\.", f"{_BACKBONE}swin."),
    (r"(\.blocks\.\d+)\.norm1\.", r"\1.layernorm_before."),
    (r"(\.blocks\.\d+)\.norm2\.", r"\1.layernorm_after."),
    (r"\.attn\.(relative_position_bias)_table$", r".attention.\1.\1_table"),
    (r"\.attn\.proj\.", ".attention.o_proj."),
    (r"\.attn\.qkv\.", ".attention.qkv."),
    # The text and what joins it to the picture.
    (r"^bert\.", "model.text_backbone."),
    (r"^feat_map\.", "model.text_projection."),
    (r"^input_proj\.", "model.input_proj_vision."),
    (r"^transformer\.", "model."),
    (r"\.tgt_embed\.", ".query_position_embeddings."),
    (r"\.enc_out_bbox_embed\.", ".encoder_output_bbox_embed."),
    # The three layers of the encoder, one after the other in transformers.
    (r"^model\.encoder\.layers\.(\d+)\.", r"model.encoder.layers.\1.deformable_layer."),
    (r"\.text_layers\.(\d+)\.", r".layers.\1.text_enhancer_layer."),
    (r"\.fusion_layers\.(\d+)\.", r".layers.\1.fusion_layer."),
    (r"\.deformable_layer\.norm1\.", ".deformable_layer.self_attn_layer_norm."),
    (r"\.deformable_layer\.norm2\.", ".deformable_layer.final_layer_norm."),
    (r"\.text_enhancer_layer\.norm1\.", ".text_enhancer_layer.layer_norm_before."),
    (r"\.text_enhancer_layer\.norm2\.", ".text_enhancer_layer.layer_norm_after."),
    (r"\.fusion_layer\.gamma_v$", ".fusion_layer.vision_param"),
    (r"\.fusion_layer\.gamma_l$", ".fusion_layer.text_param"),
    (r"\.layer_norm_v\.", ".layer_norm_vision."),
    (r"\.layer_norm_l\.", ".layer_norm_text."),
    (r"\.attn\.(values_|out_|)v_proj\.", r".attn.\1vision_proj."),
    (r"\.attn\.(values_|out_|)l_proj\.", r".attn.\1text_proj."),
    # The decoder.
    (r"(\.decoder\.layers\.\d+)\.norm1\.", r"\1.encoder_attn_layer_norm."),
    (r"(\.decoder\.layers\.\d+)\.norm2\.", r"\1.self_attn_layer_norm."),
    (r"(\.decoder\.layers\.\d+)\.norm3\.", r"\1.final_layer_norm."),
    (r"\.cross_attn\.", ".encoder_attn."),
    (r"\.ca_text\.", ".encoder_attn_text."),
    (r"\.catext_norm\.", ".encoder_attn_text_layer_norm."),
    (r"\.decoder\.norm\.", ".decoder.layer_norm."),
    (r"\.ref_point_head\.", ".reference_points_head."),
    (r"\.linear([12])\.", r".fc\1."),
)
# Held by the checkpoint, needed by nobody: indices, masks, and what training left behind.
_IGNORED: Final = re.compile(
    r"relative_position_index$|attn_mask$|^bert\.pooler\.|position_ids$|^label_enc\.|^bbox_embed\."
)
# Heads of Swin-T and Swin-B by width, and the picture that they were pretrained on (swin
# transformer's model_para_dict); heads of the detector are 8 in both released configs.
_SWIN_HEADS: Final = {96: [3, 6, 12, 24], 128: [4, 8, 16, 32]}
_SWIN_PICTURE: Final = {96: 224, 128: 384}
_HEADS: Final = 8
_BERT_HEAD_WIDTH: Final = 64
_QUERY_KEY_VALUE: Final = ("query", "key", "value")


def from_official(state: dict[str, torch.Tensor], path: Path) -> GroundingDinoForObjectDetection:
    """A model from the tensors of an official checkpoint.

    Raises:
        InputError: if they are not a GroundingDINO's with a Swin-T or Swin-B backbone.
    """
    from transformers import GroundingDinoForObjectDetection

    try:
        config = official_config(state)
    except KeyError as error:
        raise InputError(
            f"detector weights {path}",
            f"not a groundingdino_swin{{t,b}} checkpoint (lacks {error})",
            "name an official GroundingDINO file",
        ) from None
    model = GroundingDinoForObjectDetection._from_config(config)
    renamed = rename_official(state)
    # Built for a classification head that the detector lacks: no tensor of the authors' fits.
    unused = f"{_BACKBONE}swin.layernorm."
    own = model.state_dict()
    renamed |= {name: value for name, value in own.items() if name.startswith(unused)}
    fill(model, renamed, path, "detector")
    return model


def rename_official(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The authors' tensors under transformers' names."""
    renamed: dict[str, torch.Tensor] = {}
    for name, value in state.items():
        if not _IGNORED.search(name):
            renamed |= _split(_new_name(name), value)
    for name in [each for each in renamed if each.startswith("model.decoder.bbox_embed.")]:
        renamed[name.removeprefix("model.decoder.")] = renamed[name]  # one head, two names
    return renamed


def _new_name(name: str) -> str:
    for old, new in _RENAMED:
        name = re.sub(old, new, name)
    return name


def _split(name: str, value: torch.Tensor) -> dict[str, torch.Tensor]:
    """One tensor under its name, or a packed projection as its three."""
    if match := re.match(r"^(.*\.attention)\.qkv\.(weight|bias)$", name):
        names = [f"{match[1]}.{part}_proj.{match[2]}" for part in "qkv"]
    elif match := re.match(r"^(.*)\.in_proj_(weight|bias)$", name):
        names = [f"{match[1]}.{part}.{match[2]}" for part in _QUERY_KEY_VALUE]
    else:
        return {name: value}
    return dict(zip(names, value.chunk(3), strict=True))


def official_config(state: dict[str, torch.Tensor]) -> GroundingDinoConfig:
    """The configuration that an official checkpoint was made with, read from its tensors.

    Raises:
        KeyError: if a tensor that tells a size is not there.
    """
    from transformers import BertConfig, GroundingDinoConfig, SwinConfig

    swin, bert = _swin_sizes(state), _bert_sizes(state)
    queries, width = state["transformer.tgt_embed.weight"].shape
    return GroundingDinoConfig(
        backbone_config=SwinConfig(**swin),
        text_config=BertConfig(**bert),
        num_queries=queries,
        d_model=width,
        encoder_layers=_count(state, r"^transformer\.encoder\.layers\.(\d+)\."),
        decoder_layers=_count(state, r"^transformer\.decoder\.layers\.(\d+)\."),
        encoder_ffn_dim=len(state["transformer.encoder.layers.0.linear1.weight"]),
        decoder_ffn_dim=len(state["transformer.decoder.layers.0.linear1.weight"]),
        encoder_attention_heads=_HEADS,
        decoder_attention_heads=_HEADS,
        num_feature_levels=len(state["transformer.level_embed"]),
    )


def _swin_sizes(state: dict[str, torch.Tensor]) -> dict[str, Any]:
    width = len(state["backbone.0.patch_embed.proj.weight"])
    table = state["backbone.0.layers.0.blocks.0.attn.relative_position_bias_table"]
    stages = _count(state, r"^backbone\.0\.layers\.(\d+)\.")
    return {
        "embed_dim": width,
        "depths": [
            _count(state, rf"^backbone\.0\.layers\.{n}\.blocks\.(\d+)\.") for n in range(stages)
        ],
        "num_heads": _SWIN_HEADS[width],
        "window_size": (int(len(table) ** 0.5) + 1) // 2,
        "image_size": _SWIN_PICTURE[width],
        "out_indices": [2, 3, 4],
    }


def _bert_sizes(state: dict[str, torch.Tensor]) -> dict[str, Any]:
    words, width = state["bert.embeddings.word_embeddings.weight"].shape
    return {
        "vocab_size": words,
        "hidden_size": width,
        "num_hidden_layers": _count(state, r"^bert\.encoder\.layer\.(\d+)\."),
        "num_attention_heads": max(1, width // _BERT_HEAD_WIDTH),
        "intermediate_size": len(state["bert.encoder.layer.0.intermediate.dense.weight"]),
        "max_position_embeddings": len(state["bert.embeddings.position_embeddings.weight"]),
    }


def _count(state: dict[str, torch.Tensor], pattern: str) -> int:
    numbers = [int(match[1]) for name in state if (match := re.match(pattern, name))]
    if not numbers:
        raise KeyError(pattern)
    return max(numbers) + 1
