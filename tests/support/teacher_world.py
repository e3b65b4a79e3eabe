"""Small models with random weights and a small data set, for the tests of the teacher's half."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from pycocotools import mask as mask_api

from omnicost.data import Dataset, open_dataset
from omnicost.models.teachers.sam import Sam
from omnicost.pipeline.config import DEFAULT_EMBED
from omnicost.pipeline.embed import Embeddings, ImageEncoder

SIDE, PATCH, WIDTH, CHANNELS, HEADS = 64, 8, 32, 32, 2
CLASS_NAMES = ("disc", "square", "red bar")


def randomise(module: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Every tensor drawn anew, large enough that outputs vary; norms stay near the identity."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in module.state_dict().items():
            if not value.is_floating_point():
                continue
            fan_in = value[0].numel() if value.ndim > 1 else 16
            value.normal_(0.0, 1.5 * fan_in**-0.5, generator=generator)
            if "norm" in name and name.endswith("weight"):
                value.add_(1.0)
            if "positional" in name:
                value.normal_(0.0, 1.0, generator=generator)
    return module


def reference_sam(
    side: int = SIDE, width: int = WIDTH, heads: int = HEADS, decoder_heads: int = HEADS
) -> torch.nn.Module:
    """A small `segment_anything` model with a windowed and a global layer."""
    from segment_anything.modeling import (
        ImageEncoderViT,
        MaskDecoder,
        PromptEncoder,
        Sam,
        TwoWayTransformer,
    )

    grid = side // PATCH
    transformer = TwoWayTransformer(2, CHANNELS, num_heads=decoder_heads, mlp_dim=64)
    model = Sam(
        ImageEncoderViT(
            img_size=side,
            patch_size=PATCH,
            embed_dim=width,
            depth=2,
            num_heads=heads,
            out_chans=CHANNELS,
            norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
            use_rel_pos=True,
            window_size=3,
            global_attn_indexes=(1,),
        ),
        PromptEncoder(CHANNELS, (grid, grid), (side, side), 16),
        MaskDecoder(transformer_dim=CHANNELS, transformer=transformer, iou_head_hidden_dim=256),
    )
    return randomise(model).eval()


def tiny_sam(seed: int = 0, side: int = SIDE) -> torch.nn.Module:
    """The like as a transformers `SamModel`, frozen."""
    from transformers import SamConfig, SamModel

    config = SamConfig(
        vision_config={
            "hidden_size": WIDTH,
            "output_channels": CHANNELS,
            "num_hidden_layers": 2,
            "num_attention_heads": HEADS,
            "image_size": side,
            "patch_size": PATCH,
            "window_size": 3,
            "global_attn_indexes": [1],
            "num_pos_feats": CHANNELS // 2,
        },
        prompt_encoder_config={"hidden_size": CHANNELS, "image_size": side, "patch_size": PATCH},
        mask_decoder_config={
            "hidden_size": CHANNELS,
            "mlp_dim": 64,
            "num_attention_heads": HEADS,
        },
    )
    return randomise(SamModel(config), seed).eval().requires_grad_(False)


def write_dataset(folder: Path, images: int = 6, seed: int = 0, size: tuple = (48, 64)) -> Dataset:
    """Discs, squares and bars on noise, in a COCO-format folder; the last image is empty."""
    generator = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    content = {
        "images": [],
        "annotations": [],
        "categories": [{"id": 3 * n + 1, "name": name} for n, name in enumerate(CLASS_NAMES)],
    }
    for image_id in range(1, images + 1):
        height, width = size if image_id % 2 else size[::-1]
        pixels = generator.integers(0, 90, (height, width, 3), np.uint8)
        for _ in range(0 if image_id == images else int(generator.integers(1, 4))):
            kind = int(generator.integers(3))
            mask = _shape(kind, height, width, generator)
            pixels[mask] = (np.eye(3, dtype=np.uint8) * 160 + 60)[kind]
            _annotate(content, image_id, kind, mask)
        name = f"{image_id:04d}.png"
        Image.fromarray(pixels).save(folder / "images" / name)
        content["images"].append(
            {"id": image_id, "file_name": name, "height": height, "width": width}
        )
    (folder / "instances.json").write_text(json.dumps(content))
    return open_dataset(folder, "all")


def _shape(kind: int, height: int, width: int, generator: np.random.Generator) -> np.ndarray:
    row, column = generator.integers(8, height - 8), generator.integers(8, width - 8)
    rows, columns = np.mgrid[:height, :width]
    down, right = rows - row, columns - column
    if kind == 0:
        return down**2 + right**2 < 49
    if kind == 1:
        return (abs(down) < 6) & (abs(right) < 6)
    return (abs(down) < 3) & (abs(right) < 14)


def _annotate(content: dict, image_id: int, kind: int, mask: np.ndarray) -> None:
    rle = mask_api.encode(np.asfortranarray(mask))
    content["annotations"].append(
        {
            "id": len(content["annotations"]) + 1,
            "image_id": image_id,
            "category_id": 3 * kind + 1,
            "segmentation": {"size": rle["size"], "counts": rle["counts"].decode()},
            "bbox": mask_api.toBbox(rle).tolist(),
            "area": int(mask.sum()),
            "iscrowd": 0,
        }
    )


def text_folder(folder: Path, width: int = 16) -> str:
    """A random CLIP text encoder with a word-level vocabulary, in transformers' save format."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection, PreTrainedTokenizerFast

    words = ["<pad>", "<s>", "</s>", "<unk>", "a", "photo", "of", "disc", "square", "red", "bar"]
    tokenizer = Tokenizer(
        models.WordLevel({word: n for n, word in enumerate(words)}, unk_token="<unk>")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>"
    ).save_pretrained(folder)
    config = CLIPTextConfig(
        vocab_size=len(words),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=12,
        projection_dim=width,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )
    model = CLIPTextModelWithProjection(config)
    randomise(model).eval().save_pretrained(folder)
    return str(folder)


# GroundingDINO's special tokens have fixed ids ([CLS] 101, [SEP] 102, "." 1012).
SPECIAL_IDS = {"[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102, ".": 1012, "?": 1029}


def detector_folder(
    folder: Path, max_text_len: int = 32, short_side: int = 64, family: str = "GroundingDino"
) -> str:
    """A random GroundingDINO, or `MMGroundingDino`, on a small Swin and BERT, as saved."""
    import transformers
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
    from transformers import (
        BertConfig,
        GroundingDinoImageProcessor,
        PreTrainedTokenizerFast,
        SwinConfig,
    )

    words = ["disc", "square", "red", "bar", "photo", *[f"word{n}" for n in range(40)]]
    vocabulary = SPECIAL_IDS | {word: 200 + n for n, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        unk_token="[UNK]",
    ).save_pretrained(folder)
    config = getattr(transformers, f"{family}Config")(
        backbone_config=SwinConfig(
            image_size=64,
            embed_dim=16,
            depths=[1, 1, 1, 1],
            num_heads=[1, 2, 2, 2],
            window_size=4,
            out_indices=[2, 3, 4],
        ),
        text_config=BertConfig(
            vocab_size=1030,
            hidden_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=max_text_len,
        ),
        num_queries=10,
        encoder_layers=1,
        decoder_layers=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        d_model=32,
        max_text_len=max_text_len,
    )
    model = getattr(transformers, f"{family}ForObjectDetection")(config).eval()
    randomise(model, seed=2)
    model.save_pretrained(folder)
    GroundingDinoImageProcessor(
        size={"shortest_edge": short_side, "longest_edge": 2 * short_side}
    ).save_pretrained(folder)
    return str(folder)


def tiny_sam2(seed: int = 0, side: int = SIDE) -> torch.nn.Module:
    """A small `Sam2Model` with a stage for each level, frozen."""
    from transformers import Sam2Config, Sam2Model

    return randomise(Sam2Model(Sam2Config(**sam2_parts(side))), seed).eval().requires_grad_(False)


def sam2_parts(side: int = SIDE) -> dict:
    """What the configs of SAM 2 and of its video model have in common."""
    widths = [8, 16, 32, 64]
    return {
        "vision_config": {
            "backbone_config": {
                "model_type": "sam2_hiera_det_model",
                "hidden_size": widths[0],
                "image_size": [side, side],
                "patch_kernel_size": [7, 7],
                "patch_stride": [2, 2],
                "patch_padding": [3, 3],
                "blocks_per_stage": [1, 1, 2, 1],
                "embed_dim_per_stage": widths,
                "num_attention_heads_per_stage": [1, 1, 2, 2],
                "window_size_per_stage": [4, 4, 4, 4],
                "window_positional_embedding_background_size": [4, 4],
                "global_attention_blocks": [3],
            },
            "backbone_channel_list": widths[::-1],
            "backbone_feature_sizes": [[side // 2 >> n] * 2 for n in range(3)],
            "fpn_hidden_size": CHANNELS,
        },
        "prompt_encoder_config": {"hidden_size": CHANNELS, "image_size": side, "patch_size": 8},
        "mask_decoder_config": {
            "hidden_size": CHANNELS,
            "mlp_dim": 64,
            "num_attention_heads": HEADS,
            "iou_head_hidden_dim": 32,
        },
    }


def tiny_sam_hq(seed: int = 0, side: int = SIDE) -> torch.nn.Module:
    """A small `SamHQModel` whose first layer of two attends globally, frozen."""
    from transformers import SamHQConfig, SamHQModel

    config = SamHQConfig(
        vision_config={
            "hidden_size": WIDTH,
            "output_channels": CHANNELS,
            "num_hidden_layers": 2,
            "num_attention_heads": HEADS,
            "image_size": side,
            "patch_size": PATCH,
            "window_size": 3,
            "global_attn_indexes": [0],
            "num_pos_feats": CHANNELS // 2,
            "mlp_dim": 2 * WIDTH,
        },
        prompt_encoder_config={"hidden_size": CHANNELS, "image_size": side, "patch_size": PATCH},
        mask_decoder_config={
            "hidden_size": CHANNELS,
            "mlp_dim": 64,
            "num_attention_heads": HEADS,
            "vit_dim": WIDTH,
        },
    )
    return randomise(SamHQModel(config), seed).eval().requires_grad_(False)


def lesson_world(root: Path) -> dict[str, Any]:
    """A small SAM, its folder, a text encoder's, eight pictures, and what SAM keeps of them."""
    sam = tiny_sam()
    sam.save_pretrained(root / "sam")
    dataset = write_dataset(root / "data", images=8)
    encoder = ImageEncoder(Sam(sam), DEFAULT_EMBED)
    return {
        "sam": Sam(sam),
        "spec": str(root / "sam"),
        "text": text_folder(root / "text"),
        "dataset": dataset,
        "embeddings": Embeddings((), dataset, lambda: encoder),
    }
