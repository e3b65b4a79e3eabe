"""A whole Mask2Former, trained on tiny-web's masks and names: where a tiny student may start.

Its architecture is that of the tiny students, its backbone starts from the tiny ResNet. The loss
and the answers are the students' own; the format is transformers'.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import Mask2FormerImageProcessor

from omnicost.data.seeding import derive_seed
from omnicost.data.tiny.world import SPECS, Scene
from omnicost.models.pixels import PIXEL_MEAN, PIXEL_STD
from omnicost.models.students import student as interface
from omnicost.models.students.settings import TINY_MASK2FORMER
from omnicost.models.students.start import begin_from, read_start, write_folder
from omnicost.models.students.student import ImageTargets, Student
from omnicost.models.tiny.pretrain import backbone
from omnicost.models.tiny.pretrain.average_precision import average_precision
from omnicost.models.tiny.pretrain.card import About, write_card
from omnicost.models.tiny.pretrain.loop import Schedule, summed, train
from omnicost.models.tiny.pretrain.pictures import DATASETS, POOL, WEB, scenes, web_scenes
from omnicost.progress import Progress

FOLDER = "student"
SCHEDULE = Schedule(
    steps=6000,
    learning_rate=2e-3,
    warmup_steps=100,
    weight_decay=0.05,
    clip_norm=math.inf,  # the tiny students learn less with a clip (LOG.md, 2026-11-22)
    evaluate_every=1500,
    backbone_share=0.5,
)
SCENES_PER_STEP = 8
HELD_OUT = 200  # pictures of each data set
ABOUT = About(
    recipe="student",
    title="Tiny Mask2Former",
    summary=(
        "A student of omnicost's tiny world to start others from, in the format of "
        "facebook/mask2former-swin-tiny-coco-instance. `mask AP` is COCO's, in [0, 1], of the "
        "classes of each data set, none of whose pictures it has seen."
    ),
    data=f"masks and names of {WEB}, {SCENES_PER_STEP} of {POOL:,} pictures a step; the "
    "backbone starts from the tiny ResNet",
)


def build(start: str) -> Any:
    """The model before training, on the backbone in the folder ``start``."""
    torch.manual_seed(derive_seed("tiny", "student", "weights"))
    return interface.build(TINY_MASK2FORMER, len(SPECS[WEB].class_names), start)


def shipped() -> Any:
    """The model that travels with the package, ready to predict tiny-web's classes."""
    start = read_start("tiny")
    model = interface.build(TINY_MASK2FORMER, len(start.class_names), start.backbone)
    begin_from(model, start, start.class_names)
    return model.eval()


def batch_of(pictures: Sequence[Scene]) -> tuple[Tensor, list[ImageTargets]]:
    """Pictures ``(B, 3, H, W) uint8`` and what each teaches."""
    images = torch.from_numpy(np.stack([scene.image for scene in pictures]).transpose(0, 3, 1, 2))
    targets = [
        ImageTargets(
            torch.from_numpy(scene.masks.astype(np.uint8)),
            torch.from_numpy(scene.class_indices),
            torch.ones(len(scene.class_indices)),
        )
        for scene in pictures
    ]
    return images.contiguous(), targets


def _loss_at(model: Student, step: int) -> tuple[Tensor, dict[str, float]]:
    return summed(model.loss(*batch_of(web_scenes(FOLDER, step, SCENES_PER_STEP))))


def figures(model: Any, pictures: int = HELD_OUT) -> dict[str, float]:
    """``dataset/mask AP`` of the model as it stands, asked for that data set's classes alone."""
    values = {}
    for world in (WEB, *DATASETS):
        held_out = scenes(world, "val", range(pictures))
        found = naming(model, SPECS[world].class_names).predict([s.image for s in held_out])
        values[f"{world}/mask AP"] = average_precision(held_out, found, world, "segmentation")
    return values


def naming(model: Any, names: Sequence[str]) -> Any:
    """A copy that knows only those of tiny-web's classes, in that order; ready to predict."""
    known = SPECS[WEB].class_names
    kept = [*(known.index(name) for name in names), len(known)]  # the last one is "no object"
    part = copy.deepcopy(model).eval()
    part.num_classes = len(names)
    part.class_predictor = nn.Linear(model.class_predictor.in_features, len(kept))
    part.class_predictor.load_state_dict(
        {name: value[kept] for name, value in model.class_predictor.state_dict().items()}
    )
    return part


def save(model: Any, folder: Path) -> None:
    """Write the model and its image processor like a released Mask2Former's."""
    write_folder(model, SPECS[WEB].class_names, folder)
    Mask2FormerImageProcessor(
        size={"shortest_edge": 64, "longest_edge": 128},
        image_mean=[value / 255 for value in PIXEL_MEAN],
        image_std=[value / 255 for value in PIXEL_STD],
        ignore_index=255,
    ).save_pretrained(folder)


def pretrain(folder: Path, work: Path, schedule: Schedule, report: Progress | None) -> None:
    """Train the model in ``work`` and write it and its card into ``folder``.

    Starts from the backbone beside ``folder``, or from the shipped one.
    """
    model = build(str(backbone.folder_beside(folder)))
    trained = train(
        model, partial(_loss_at, model), schedule, work, evaluate=figures, report=report
    )
    save(model, folder)
    write_card(folder, ABOUT, trained)
