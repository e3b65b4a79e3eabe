"""The tiny student's recipe: what it learns from, what it writes, what it is asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from transformers import Mask2FormerForUniversalSegmentation

from omnicost.data.tiny.world import SPECS
from omnicost.models.masks import encode
from omnicost.models.students.settings import TINY_MASK2FORMER
from omnicost.models.students.student import Prediction
from omnicost.models.tiny import weights_path
from omnicost.models.tiny.pretrain import student
from omnicost.models.tiny.pretrain.average_precision import average_precision
from omnicost.models.tiny.pretrain.loop import Schedule, _optimizer
from omnicost.models.tiny.pretrain.pictures import WEB, scenes
from omnicost.pipeline.student.config import StudentConfig


@pytest.fixture(scope="module")
def untrained() -> nn.Module:
    return student.build(str(weights_path("backbone")))


def test_the_recipe_trains_what_the_preset_builds() -> None:
    """The pretrained student has the architecture of every tiny student, or none could start."""
    for preset in ("tiny", "tiny/scratch"):
        assert StudentConfig.preset(preset).architecture == TINY_MASK2FORMER


def test_saved_weights_load_like_a_released_mask2former(
    untrained: nn.Module, tmp_path: Path
) -> None:
    """Half precision on disk, single in memory, tiny-web's names, the same masks and classes."""
    student.save(untrained, tmp_path)
    loaded = Mask2FormerForUniversalSegmentation.from_pretrained(tmp_path)
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}
    assert tuple(loaded.config.id2label.values()) == SPECS[WEB].class_names
    assert "/" not in (tmp_path / "config.json").read_text()  # no path of this machine
    images, _ = student.batch_of(scenes(WEB, "val", range(2)))
    untrained.eval()
    with torch.no_grad():
        masks, classes = untrained.outputs(images)
        pixels = (images - untrained.pixel_mean) / untrained.pixel_std
        answer = loaded(pixels)
    assert torch.allclose(answer.masks_queries_logits, masks[-1], atol=0.05)
    assert torch.allclose(answer.class_queries_logits, classes[-1], atol=0.05)


def test_asked_for_some_names_it_answers_with_those(untrained: nn.Module) -> None:
    """Logits of the kept names and of "no object" are the whole model's, in the order asked."""
    names = ("bicycle", "person")
    part = student.naming(untrained, names)
    states = torch.randn(3, TINY_MASK2FORMER.width)
    known = SPECS[WEB].class_names
    kept = [known.index("bicycle"), known.index("person"), len(known)]
    expected = untrained.class_predictor(states)[:, kept]  # type: ignore[operator]
    assert torch.allclose(part.class_predictor(states), expected, atol=1e-6)
    assert part.num_classes == 2


def test_perfect_masks_score_one() -> None:
    """The ground truth as prediction has AP 1; with every class wrong it has 0."""
    pictures = scenes("tiny-coco", "val", range(3))
    _, targets = student.batch_of(pictures)
    right = [
        Prediction(
            tuple(encode(target.masks.bool())),
            target.classes.numpy(),
            np.ones(len(target.classes), np.float32),
        )
        for target in targets
    ]
    wrong = [p._replace(class_indices=(p.class_indices + 1) % 15) for p in right]
    assert average_precision(pictures, right, "tiny-coco", "segmentation") == pytest.approx(1)
    assert average_precision(pictures, wrong, "tiny-coco", "segmentation") < 0.35


def test_the_backbone_learns_slower(untrained: nn.Module) -> None:
    """Every trained parameter is in one group; the backbone's have its share of the rate."""
    groups = _optimizer(untrained, Schedule(1, 1e-3, backbone_share=0.5)).param_groups
    shares = {id(p): group["rate_share"] for group in groups for p in group["params"]}
    slow = {id(p) for p in untrained.backbone.parameters()}  # type: ignore[union-attr]
    trained = [p for p in untrained.parameters() if p.requires_grad]
    assert len(shares) == len(trained) == sum(len(group["params"]) for group in groups)
    assert all(shares[id(p)] == (0.5 if id(p) in slow else 1.0) for p in trained)
