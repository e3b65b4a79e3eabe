"""The foundation models at their released sizes, with random weights, in transformers' format.

The figures are those of facebook/sam-vit-base, IDEA-Research/grounding-dino-tiny,
openai/clip-vit-base-patch32 and microsoft/resnet-50. The vocabularies are the tiny models', whose
word ids all lie inside the released embeddings; the real ones come with the weights.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch

from omnicost.models.tiny import TinyModel, weights_path

# Parameters of the released checkpoints, in millions.
MILLIONS = {"sam": 93.7, "detector": 172.2, "text": 151.3, "backbone": 23.5}


def save_all(root: Path) -> dict[str, float]:
    """Write the four folders; returns their sizes in millions of parameters."""
    torch.manual_seed(0)
    millions = {}
    for name, build in (
        ("sam", sam_vit_b),
        ("detector", grounding_dino_t),
        ("text", clip_vit_b_32),
        ("backbone", resnet_50),
    ):
        model = build()
        millions[name] = sum(part.numel() for part in model.parameters()) / 1e6
        model.save_pretrained(root / name)
    copy_vocabulary("detector", root / "detector")
    copy_vocabulary("clip", root / "text")
    return millions


def copy_vocabulary(name: TinyModel, folder: Path) -> None:
    """A tiny model's tokenizer beside other weights."""
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(weights_path(name) / file, folder / file)


def sam_vit_b() -> torch.nn.Module:
    """Segment Anything with a ViT-B encoder."""
    from transformers import SamConfig, SamModel

    vision = {
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "mlp_dim": 3072,
        "image_size": 1024,
        "patch_size": 16,
        "window_size": 14,
        "global_attn_indexes": [2, 5, 8, 11],
        "output_channels": 256,
        "num_pos_feats": 128,
        "initializer_range": 0.02,  # the default, 1e-10, is for weights about to be loaded
    }
    return SamModel(SamConfig(vision_config=vision))


def grounding_dino_t() -> torch.nn.Module:
    """GroundingDINO on Swin-T and BERT-base."""
    from transformers import (
        BertConfig,
        GroundingDinoConfig,
        GroundingDinoForObjectDetection,
        SwinConfig,
    )

    swin = SwinConfig(
        image_size=224,
        embed_dim=96,
        depths=[2, 2, 6, 2],
        num_heads=[3, 6, 12, 24],
        window_size=7,
        out_indices=[2, 3, 4],
    )
    config = GroundingDinoConfig(
        backbone_config=swin,
        text_config=BertConfig(),  # its defaults are BERT-base's
        num_queries=900,
        d_model=256,
        encoder_layers=6,
        decoder_layers=6,
        encoder_ffn_dim=2048,
        decoder_ffn_dim=2048,
        encoder_attention_heads=8,
        decoder_attention_heads=8,
        num_feature_levels=4,
        max_text_len=256,
    )
    return GroundingDinoForObjectDetection(config)


def clip_vit_b_32() -> torch.nn.Module:
    """CLIP with a ViT-B/32 picture encoder; its text ends where the tiny vocabulary says."""
    from transformers import AutoTokenizer, CLIPConfig, CLIPModel

    tokenizer = AutoTokenizer.from_pretrained(weights_path("clip"), local_files_only=True)
    ends = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    text: dict[str, Any] = {"vocab_size": 49_408, "hidden_size": 512, "num_hidden_layers": 12}
    text |= {"num_attention_heads": 8, "intermediate_size": 2048, **ends}
    vision = {"hidden_size": 768, "num_hidden_layers": 12, "patch_size": 32, "image_size": 224}
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=512))


def resnet_50() -> torch.nn.Module:
    """The student's backbone."""
    from transformers import ResNetConfig, ResNetModel

    return ResNetModel(ResNetConfig())  # its defaults are ResNet-50's
