"""The student's ResNet, trained on tiny-web to name every pixel and point to its object's centre.

It stands where ResNet-50 trained on ImageNet stands in the paper. Naming pixels rather than
pictures keeps the fine stages useful for masks.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import ConvNextImageProcessor, ResNetBackbone, ResNetConfig

from omnicost.data.seeding import derive_seed
from omnicost.data.tiny.world import SPECS, Scene
from omnicost.models.tiny import weights_path
from omnicost.models.tiny.pretrain.card import About, write_card
from omnicost.models.tiny.pretrain.loop import Schedule, train
from omnicost.models.tiny.pretrain.pictures import (
    DATASETS,
    MEAN,
    POOL,
    STD,
    WEB,
    scenes,
    tight_boxes,
    to_pixel_values,
    web_scenes,
)
from omnicost.progress import Progress

FOLDER = "backbone"
SCHEDULE = Schedule(steps=4000, learning_rate=2e-3, weight_decay=0.02, evaluate_every=1000)
SCENES_PER_STEP = 16
HIDDEN_SIZES = (32, 64, 96, 128)
DEPTHS = (2, 2, 1, 1)
HEAD_WIDTH = 64
TARGET_STRIDE = 2
BACKGROUND_WEIGHT = 0.3
PROBE_PICTURES = 200  # of each data set, to fit on and to measure on
PROBE_STRIDE = 4
ABOUT = About(
    recipe="backbone",
    title="Tiny ResNet",
    summary=(
        "The backbone of omnicost's tiny student, in the format of microsoft/resnet-50. "
        "`probe` is the share of held-out object pixels that a linear probe of its features, "
        "fitted on training pictures, gives the right class; `untrained` is the same of its "
        "random weights."
    ),
    data=f"classes and centres in {WEB}, {SCENES_PER_STEP} of {POOL:,} pictures a step",
)


def build(stages: int = 4) -> ResNetBackbone:
    """The model before training; ``stages`` of its four, for users that need fewer."""
    config = ResNetConfig(
        embedding_size=HIDDEN_SIZES[0],
        hidden_sizes=list(HIDDEN_SIZES[:stages]),
        depths=list(DEPTHS[:stages]),
        layer_type="basic",
        out_features=[f"stage{index + 1}" for index in range(stages)],
    )
    torch.manual_seed(derive_seed("tiny", "backbone", "weights"))
    return ResNetBackbone(config)


class PixelNamer(nn.Module):
    """The backbone under a small pyramid: class scores and centre offsets at stride 4.

    Only the backbone is kept after training.
    """

    def __init__(self, backbone: ResNetBackbone, classes: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.laterals = nn.ModuleList(nn.Conv2d(c, HEAD_WIDTH, 1) for c in backbone.channels)
        self.mix = nn.Sequential(
            nn.BatchNorm2d(HEAD_WIDTH),
            nn.ReLU(),
            nn.Conv2d(HEAD_WIDTH, HEAD_WIDTH, 3, padding=1),
            nn.ReLU(),
        )
        self.scores = nn.Conv2d(HEAD_WIDTH, classes + 1, 1)  # the last one is background
        self.offsets = nn.Conv2d(HEAD_WIDTH, 2, 1)

    def forward(self, pixel_values: Tensor) -> tuple[Tensor, Tensor]:
        """Scores ``(B, K + 1, h, w)`` and offsets ``(B, 2, h, w)`` of pictures at stride 4."""
        maps = self.backbone(pixel_values).feature_maps
        size = maps[0].shape[-2:]
        merged = torch.zeros(1)
        for lateral, features in zip(self.laterals, maps, strict=True):
            merged = merged + _resized(lateral(features), size)
        mixed = self.mix(merged)
        return self.scores(mixed), self.offsets(mixed)


class PixelTargets(NamedTuple):
    """Of B pictures: class ``(B, h, w)`` (K is background), centre offset ``(B, 2, h, w)``.

    Offsets go from the pixel to the centre of its instance's box, as shares of the picture's side.
    """

    classes: Tensor
    offsets: Tensor


def pixel_targets(pictures: Sequence[Scene], background: int, stride: int) -> PixelTargets:
    """What to learn of ``pictures`` at every ``stride``-th pixel."""
    classes, offsets = zip(*(_targets_of(s, background, stride) for s in pictures), strict=True)
    return PixelTargets(torch.from_numpy(np.stack(classes)), torch.from_numpy(np.stack(offsets)))


def _targets_of(scene: Scene, background: int, stride: int) -> tuple[np.ndarray, np.ndarray]:
    side = scene.image.shape[0]
    at = np.arange(stride // 2, side, stride)
    classes = np.full((len(at), len(at)), background, dtype=np.int64)
    offsets = np.zeros((2, len(at), len(at)), dtype=np.float32)
    masks = scene.masks[:, at][:, :, at]
    for mask, box, index in zip(masks, tight_boxes(scene.masks), scene.class_indices, strict=True):
        classes[mask] = index
        rows, columns = np.nonzero(mask)
        offsets[0, mask] = (box[0::2].mean() - at[columns]) / side
        offsets[1, mask] = (box[1::2].mean() - at[rows]) / side
    return classes, offsets


def _resized(maps: Tensor, size: Sequence[int]) -> Tensor:
    return functional.interpolate(maps, tuple(size), mode="bilinear", align_corners=False)


def _loss_at(model: PixelNamer, step: int) -> tuple[Tensor, dict[str, float]]:
    background = len(SPECS[WEB].class_names)
    pictures = web_scenes(FOLDER, step, SCENES_PER_STEP)
    targets = pixel_targets(pictures, background, TARGET_STRIDE)
    values = to_pixel_values(np.stack([scene.image for scene in pictures]), MEAN, STD)
    size = targets.classes.shape[-2:]
    scores, offsets = (_resized(maps, size) for maps in model(values))
    weight = torch.ones(background + 1)
    weight[background] = BACKGROUND_WEIGHT
    naming = functional.cross_entropy(scores, targets.classes, weight)
    inside = targets.classes != background
    distance = (offsets - targets.offsets).abs().sum(1)
    pointing = distance[inside].mean()
    right = (scores.argmax(1) == targets.classes)[inside].float().mean()
    figures = {"naming": naming.item(), "pointing": pointing.item(), "inside": right.item()}
    return naming + 5 * pointing, figures


@torch.no_grad()
def _probe_features(backbone: nn.Module, pictures: Sequence[Scene]) -> np.ndarray:
    """Features of all stages at stride 4, ``(pixels, C + 1)``, the last column 1."""
    values = to_pixel_values(np.stack([scene.image for scene in pictures]), MEAN, STD)
    maps = backbone(values).feature_maps
    stacked = torch.cat([_resized(m, maps[0].shape[-2:]) for m in maps], dim=1)
    rows = stacked.permute(0, 2, 3, 1).flatten(0, 2)
    return torch.cat([rows, torch.ones(len(rows), 1)], dim=1).double().numpy()


def figures(backbone: nn.Module, pictures: int = PROBE_PICTURES) -> dict[str, float]:
    """``dataset/probe``: share of held-out object pixels that a linear probe names right.

    The probe is a ridge regression on training pictures' features at stride 4.
    """
    backbone.eval()
    return {f"{world}/probe": _probe(backbone, world, pictures) for world in DATASETS}


def _probe(backbone: nn.Module, world: str, pictures: int) -> float:
    background = len(SPECS[world].class_names)
    seen, held_out = (scenes(world, split, range(pictures)) for split in ("train", "val"))
    features = _probe_features(backbone, seen)
    named = pixel_targets(seen, background, PROBE_STRIDE).classes.flatten().numpy()
    gram = features.T @ features + 1e-3 * len(features) * np.eye(features.shape[1])
    weights = np.linalg.solve(gram, features.T @ np.eye(background + 1)[named])
    truth = pixel_targets(held_out, background, PROBE_STRIDE).classes.flatten().numpy()
    inside = truth != background
    answers = (_probe_features(backbone, held_out)[inside] @ weights)[:, :background].argmax(1)
    return float((answers == truth[inside]).mean())


def pretrain(folder: Path, work: Path, schedule: Schedule, report: Progress | None) -> None:
    """Train the model in ``work`` and write it and its card into ``folder``."""
    model = PixelNamer(build(), len(SPECS[WEB].class_names))
    untrained = untrained_figures(model.backbone)
    trained = train(
        model,
        partial(_loss_at, model),
        schedule,
        work,
        evaluate=lambda model: figures(cast(PixelNamer, model).backbone),
        report=report,
    )
    model.backbone.save_pretrained(folder)
    ConvNextImageProcessor(
        size={"shortest_edge": 64}, crop_pct=1.0, image_mean=MEAN, image_std=STD
    ).save_pretrained(folder)
    values = trained.figures | untrained
    write_card(folder, ABOUT, trained._replace(model=model.backbone, figures=values))


def folder_beside(folder: Path) -> Path:
    """The backbone that other recipes start from: beside their folder, or the shipped one."""
    beside = folder.parent / FOLDER
    return beside if beside.exists() else weights_path("backbone")


def untrained_figures(backbone: nn.Module) -> dict[str, float]:
    """The figures of random weights, for comparison."""
    return {f"{name} untrained": value for name, value in figures(backbone).items()}
