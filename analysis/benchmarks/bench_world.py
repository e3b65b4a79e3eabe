"""Shared by the benchmarks of the teacher's half: SAMs with random weights, and pictures.

Speed does not depend on what the weights have learnt, so nothing needs to be downloaded.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from pycocotools import mask as mask_api

from omnicost.data import Dataset, open_dataset
from omnicost.pipeline.config import TeacherConfig
from omnicost.pipeline.detect import write_proposals
from omnicost.pipeline.proposals import Proposals
from omnicost.pipeline.teacher import train as teacher
from omnicost.pipeline.teacher.kinds import TeacherKind

# The tiny SAM's shape; ViT-B is transformers' default.
TINY: dict[str, dict[str, Any]] = {
    "vision_config": {
        "hidden_size": 96,
        "output_channels": 64,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "image_size": 64,
        "patch_size": 4,
        "window_size": 8,
        "global_attn_indexes": [1, 3],
        "num_pos_feats": 32,
    },
    "prompt_encoder_config": {"hidden_size": 64, "image_size": 64, "patch_size": 4},
    "mask_decoder_config": {"hidden_size": 64, "mlp_dim": 128, "num_attention_heads": 4},
}


def write_sam(folder: Path, size: str, seed: int = 0) -> str:
    """A SAM with random weights as a folder: ``tiny`` or ``vit_b``."""
    from transformers import SamConfig, SamModel
    from transformers.utils import logging

    logging.disable_progress_bar()
    torch.manual_seed(seed)
    model = SamModel(SamConfig(**TINY) if size == "tiny" else SamConfig())
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0.0, parameter[0].numel() ** -0.5)
        model.shared_image_embedding.positional_embedding.normal_()
    model.save_pretrained(folder)
    return str(folder)


def write_pictures(
    folder: Path, images: int, side: int = 64, instances: int = 4, seed: int = 0
) -> Dataset:
    """Rectangles on noise in a COCO-format folder."""
    rng = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    content: dict[str, list[dict[str, Any]]] = {"images": [], "annotations": []}
    content["categories"] = [{"id": n + 1, "name": f"class {n}"} for n in range(3)]
    for image_id in range(1, images + 1):
        pixels = rng.integers(0, 255, (side, side, 3), np.uint8)
        name = f"{image_id:06d}.jpg"
        Image.fromarray(pixels).save(folder / "images" / name)
        size = {"height": side, "width": side}
        content["images"].append({"id": image_id, "file_name": name, **size})
        for _ in range(instances):
            mask = np.zeros((side, side), np.uint8, order="F")
            y, x = rng.integers(0, side * 3 // 4, 2)
            mask[y : y + side // 4, x : x + side // 4] = 1
            rle = mask_api.encode(mask)
            content["annotations"].append(
                {
                    "id": len(content["annotations"]) + 1,
                    "image_id": image_id,
                    "category_id": int(rng.integers(3)) + 1,
                    "segmentation": {"size": rle["size"], "counts": rle["counts"].decode()},
                    "bbox": mask_api.toBbox(rle).tolist(),
                    "area": int(mask.sum()),
                    "iscrowd": 0,
                }
            )
    (folder / "instances.json").write_text(json.dumps(content))
    return open_dataset(folder, "all", cache=folder / "cache")


def write_detections(folder: Path, dataset: Dataset) -> Path:
    """The true boxes as detections."""
    folder.mkdir()
    found = {}
    for index in range(len(dataset)):
        truth = dataset.instances(index)
        scores = np.full(len(truth.boxes), 0.8, np.float32)
        found[index] = Proposals(truth.boxes, scores, truth.class_indices)
    write_proposals(folder / "detections.parquet", dataset, found)
    return folder


def released_teacher(folder: Path, dataset: Dataset, sam: str, kind: TeacherKind) -> Path:
    """The artefact that stands for the released weights."""
    out, work = folder, folder.with_name(folder.name + "-work")
    out.mkdir(parents=True)
    work.mkdir()
    config = TeacherConfig()
    teacher.run(dataset, sam, "", config, kind=kind, labelled=[], seed=0, out=out, work=work)
    return out
