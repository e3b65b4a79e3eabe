"""CLIP, text and image towers, trained on crops of tiny-web against the names of their classes.

The pipeline uses the text tower alone; the image tower is what gives its vectors a meaning that
can be seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPTokenizer,
)

from omnicost.data.seeding import derive_seed, generator
from omnicost.data.tiny.world import SPECS, Scene
from omnicost.models.tiny.pretrain.card import About, write_card
from omnicost.models.tiny.pretrain.loop import Schedule, train
from omnicost.models.tiny.pretrain.pictures import (
    DATASETS,
    POOL,
    WEB,
    crop,
    scenes,
    tight_boxes,
    to_pixel_values,
    web_scenes,
)
from omnicost.models.tiny.pretrain.vocabulary import CLIP_LENGTH, clip_tokenizer
from omnicost.progress import Progress

FOLDER = "clip"
SCHEDULE = Schedule(
    steps=1000, horizon=3000, learning_rate=1e-3, weight_decay=0.05, evaluate_every=1000
)
SCENES_PER_STEP = 10
CROP_SIDE = 32
MARGINS = (0.0, 0.5)  # of the box's longer side, drawn anew for every crop
HELD_OUT = 200  # pictures of each data set
HELD_OUT_MARGIN = 0.2
TEMPLATES = (
    "a photo of a {}.",
    "{}",
    "a picture of the {}.",
    "a small {}.",
    "one {} among others.",
)
MEAN = STD = [0.5, 0.5, 0.5]
ABOUT = About(
    recipe="text",
    title="Tiny CLIP",
    summary=(
        "A CLIP model of omnicost's tiny world in the format of openai/clip-vit-base-patch32. "
        "`top1` is the share of held-out crops whose own class is the nearest among all the "
        "names of the data set, each written as `a photo of a NAME.`"
    ),
    data=f"crops around the instances of {WEB}, {SCENES_PER_STEP} of {POOL:,} pictures a step",
)


def build(tokenizer: CLIPTokenizer) -> CLIPModel:
    """The model before training."""
    common = {"intermediate_size": 256, "num_attention_heads": 4, "projection_dim": 64}
    text = common | {
        "vocab_size": len(tokenizer),
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "max_position_embeddings": CLIP_LENGTH,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = common | {
        "hidden_size": 96,
        "num_hidden_layers": 4,
        "image_size": CROP_SIDE,
        "patch_size": 8,
    }
    torch.manual_seed(derive_seed("tiny", "clip", "weights"))
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=64))


def crops_of(
    pictures: Sequence[Scene], margins: np.random.Generator | float
) -> tuple[np.ndarray, np.ndarray]:
    """Crops ``(N, 32, 32, 3) uint8`` around the instances of ``pictures``, and classes ``(N,)``.

    ``margins`` is one margin for all, or the generator that draws each.
    """
    images, classes = [], []
    for scene in pictures:
        for box, class_index in zip(tight_boxes(scene.masks), scene.class_indices, strict=True):
            margin = margins if isinstance(margins, float) else margins.uniform(*MARGINS)
            images.append(crop(scene.image, box, CROP_SIDE, margin))
            classes.append(class_index)
    return np.stack(images), np.array(classes, dtype=np.int64)


def contrastive_loss(scores: Tensor, classes: Tensor) -> Tensor:
    """Cross entropy of pictures over classes, and of classes over pictures.

    Args:
        scores: ``(N, K)`` scaled cosines of N crops and the K class names.
        classes: ``(N,)`` class of each crop; several crops may be of one class, and each is right.
    """
    over_classes = nn.functional.cross_entropy(scores, classes)
    present = classes.unique()
    positive = (classes[:, None] == present[None]).float()
    log_share = scores[:, present].log_softmax(dim=0)
    over_crops = -(positive * log_share).sum(0) / positive.sum(0)
    return over_classes + over_crops.mean()


def scores_of(model: CLIPModel, tokens: Mapping[str, Tensor], pixel_values: Tensor) -> Tensor:
    """Scaled cosines ``(N, K)`` of N crops and K captions."""
    return model(**tokens, pixel_values=pixel_values).logits_per_image


@torch.no_grad()
def figures(
    model: nn.Module, tokenizer: CLIPTokenizer, pictures: int = HELD_OUT
) -> dict[str, float]:
    """``dataset/top1`` of held-out crops among all the class names of their data set."""
    values = {}
    for world in DATASETS:
        names = SPECS[world].class_names
        captions = [TEMPLATES[0].format(name) for name in names]
        tokens = tokenizer(captions, padding=True, return_tensors="pt")
        images, classes = crops_of(scenes(world, "val", range(pictures)), HELD_OUT_MARGIN)
        scores = scores_of(model, tokens, to_pixel_values(images, MEAN, STD))
        right = scores.argmax(1) == torch.from_numpy(classes)
        values[f"{world}/top1"] = right.float().mean().item()
    return values


def _loss_at(
    model: CLIPModel, tokenizer: CLIPTokenizer, step: int
) -> tuple[Tensor, dict[str, float]]:
    random = generator("tiny", "clip", "batch", step)
    images, classes = crops_of(web_scenes(FOLDER, step, SCENES_PER_STEP), random)
    names = SPECS[WEB].class_names
    captions = [TEMPLATES[random.integers(len(TEMPLATES))].format(name) for name in names]
    tokens = tokenizer(captions, padding=True, return_tensors="pt")
    scores = scores_of(model, tokens, to_pixel_values(images, MEAN, STD))
    target = torch.from_numpy(classes)
    right = (scores.argmax(1) == target).float().mean().item()
    return contrastive_loss(scores, target), {"top1": right}


def save(model: CLIPModel, tokenizer: CLIPTokenizer, folder: Path) -> None:
    """Write the model like a released CLIP, with tokenizer and image processor."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    size = {"height": CROP_SIDE, "width": CROP_SIDE}
    CLIPImageProcessor(
        size=size, do_center_crop=False, image_mean=MEAN, image_std=STD
    ).save_pretrained(folder)


def pretrain(folder: Path, work: Path, schedule: Schedule, report: Progress | None) -> None:
    """Train the model in ``work`` and write it, its tokenizer and its card into ``folder``."""
    names = [name for world in (WEB, *DATASETS) for name in SPECS[world].class_names]
    tokenizer = clip_tokenizer(names, TEMPLATES)
    model = build(tokenizer)
    trained = train(
        model,
        partial(_loss_at, model, tokenizer),
        schedule,
        work,
        evaluate=lambda model: figures(model, tokenizer),
        report=report,
    )
    save(model, tokenizer, folder)
    write_card(folder, ABOUT, trained)
