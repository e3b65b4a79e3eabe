"""A handful of 64 x 64 pictures with exact masks, and a small untrained backbone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as mask_api

from omnicost.annotation import AnnotationType
from omnicost.data import Dataset, SizeBounds
from omnicost.data.columns import Columns, Header, offsets
from omnicost.pipeline.student import data as student_data
from omnicost.pipeline.student.config import StudentConfig

NAMES = ("red", "green", "blue")
COLOURS = np.array([[220, 40, 40], [40, 200, 60], [50, 60, 220]], np.uint8)


def encode(mask: np.ndarray) -> dict[str, Any]:
    return mask_api.encode(np.asfortranarray(mask.astype(np.uint8)))


def make_dataset(
    folder: Path, images: int = 6, size: int = 64, seed: int = 0, split: str = "train"
) -> Dataset:
    """Coloured rectangles and discs on noise; image 3 shows nothing."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[tuple[int, np.ndarray]] = []
    counts = []
    for image in range(images):
        picture = rng.integers(90, 150, (size, size, 3)).astype(np.uint8)
        found = [] if image == 3 else [_shape(rng, size) for _ in range(int(rng.integers(1, 4)))]
        for kind, mask in found:
            picture[mask] = COLOURS[kind] + rng.integers(0, 20, (int(mask.sum()), 3), np.uint8)
        Image.fromarray(picture).save(folder / f"{image}.png")
        counts.append(len(found))
        rows += found
    return Dataset("toy", split, _header(), _columns(rows, counts, size), folder)


def _shape(rng: np.random.Generator, size: int) -> tuple[int, np.ndarray]:
    kind = int(rng.integers(len(NAMES)))
    y, x = np.mgrid[:size, :size]
    centre = rng.uniform(12, size - 12, 2)
    half = rng.uniform(6, 12)
    if kind == 0:
        mask = (abs(y - centre[0]) < half) & (abs(x - centre[1]) < half)
    else:
        mask = (y - centre[0]) ** 2 + (x - centre[1]) ** 2 < half**2
    return kind, mask


def _header() -> Header:
    return Header(NAMES, (7, 3, 12), SizeBounds(100.0, 250.0))


def _columns(rows: list[tuple[int, np.ndarray]], counts: list[int], size: int) -> Columns:
    images = len(counts)
    codes = [encode(mask)["counts"] for _, mask in rows]
    boxes = mask_api.toBbox([{"size": [size, size], "counts": code} for code in codes])
    boxes[:, 2:] += boxes[:, :2]
    return Columns(
        image_ids=np.arange(images) * 10 + 5,
        file_names=np.array([f"{image}.png" for image in range(images)]),
        sizes=np.full((images, 2), size, np.int32),
        first_annotation=offsets(np.array(counts)),
        annotation_ids=np.arange(len(rows)) + 100,
        class_indices=np.array([kind for kind, _ in rows], np.int64),
        boxes=boxes.astype(np.float32),
        areas=np.array([mask.sum() for _, mask in rows], np.float64),
        is_crowd=np.zeros(len(rows), bool),
        rle_offsets=offsets(np.array([len(code) for code in codes])),
        rle_bytes=np.frombuffer(b"".join(codes), np.uint8),
    )


def make_backbone(folder: Path) -> str:
    """An untrained ResNet in transformers' format; its path."""
    import torch
    from transformers import ResNetBackbone, ResNetConfig

    torch.manual_seed(0)
    config = ResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 12, 16, 24],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    ResNetBackbone(config).save_pretrained(folder)
    return str(folder)


def swin(folder: Path, names: tuple[str, ...] = ("cat", "dog")) -> Path:
    """An untrained Mask2Former on a small Swin, as transformers itself saves one."""
    import torch
    from transformers import Mask2FormerConfig, Mask2FormerForUniversalSegmentation, SwinConfig

    backbone = SwinConfig(
        image_size=64,
        embed_dim=12,
        depths=[1, 1, 1, 1],
        num_heads=[1, 2, 2, 2],
        window_size=4,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    config = Mask2FormerConfig(
        backbone_config=backbone, feature_size=32, mask_feature_size=32, hidden_dim=32,
        num_attention_heads=2, num_queries=8, encoder_layers=1, decoder_layers=3,
        encoder_feedforward_dim=32, dim_feedforward=32, id2label=dict(enumerate(names)),
    )  # fmt: skip
    torch.manual_seed(0)
    Mask2FormerForUniversalSegmentation(config).save_pretrained(folder)
    return folder


def tiny_values(**schedule: Any) -> dict[str, Any]:
    """Settings of a student that trains in seconds."""
    return {
        "preset": "tiny/scratch",
        "architecture": {
            "queries": 8,
            "encoder_layers": 1,
            "decoder_layers": 2,
            "width": 32,
            "heads": 2,
            "encoder_feedforward": 32,
            "decoder_feedforward": 32,
            "points": 64,
        },
        "schedule": {"steps": 6, "batch_images": 4, "warmup_steps": 0, **schedule},
        "checkpoint_every": 3,
        "log_every": 1,
    }


MASK = AnnotationType.MASK.strength


NO_PSEUDO = student_data.read_pseudo_labels([])


def config_of(**values: Any) -> StudentConfig:
    schedule = values.pop("schedule", {})
    return StudentConfig.model_validate({**tiny_values(**schedule), **values})
