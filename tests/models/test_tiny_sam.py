"""The tiny SAM: what it is trained on, its losses, its files, and how good the shipped one is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional
from torchvision.ops import sigmoid_focal_loss

from omnicost.models.teachers.teacher import load_promptable
from omnicost.models.tiny import weights_path
from omnicost.models.tiny.pretrain import sam
from omnicost.models.tiny.pretrain.card import read_figures
from omnicost.models.tiny.pretrain.loop import Schedule, parameter_groups
from omnicost.models.tiny.pretrain.pictures import scenes

WORLDS = ("tiny-coco", "tiny-ade20k", "tiny-cityscapes")


@pytest.fixture(scope="module")
def untrained() -> sam.SamModel:
    return sam.build().eval()


@pytest.fixture(scope="module")
def batch() -> sam.Targets:
    return sam.training_targets(0)


def test_a_batch_asks_as_the_recipe_says(batch: sam.Targets) -> None:
    """Every picture is asked for the same number of masks by each kind of prompt."""
    for prompt, count in sam.PROMPTS_PER_SCENE.items():
        assert (np.bincount(batch.scene_index[batch.prompts == prompt]) == count).all()
    assert len(batch.images) == sam.SCENES_PER_STEP


def test_points_lie_on_their_masks(batch: sam.Targets) -> None:
    """A point is the centre of a pixel of the mask it asks for."""
    columns, rows = (batch.points - 0.5).astype(int).T
    assert batch.masks[np.arange(len(batch.masks)), rows, columns].all()
    assert (batch.points % 1 == 0.5).all()


def test_boxes_are_jittered_within_limits(batch: sam.Targets) -> None:
    """A training box is off its mask's, by two pixels at most, and inside the picture."""
    off = np.abs(batch.boxes - sam.tight_boxes(batch.masks))
    assert 0.05 < off.mean() < 1.5
    assert off.max() <= sam.BOX_NOISE_PIXELS
    assert batch.boxes.min() >= 0
    assert batch.boxes.max() <= sam.SIDE


def test_a_step_draws_the_same_batch_again(batch: sam.Targets) -> None:
    """A resumed run sees what it would have seen; another step sees something else."""
    for one, other in zip(batch, sam.training_targets(0), strict=True):
        assert np.array_equal(one, other)
    assert not np.array_equal(batch.images, sam.training_targets(1).images)


def test_losses_are_focal_and_dice() -> None:
    """20 times torchvision's focal loss plus one minus the dice coefficient, each per mask."""
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(4, 3, 8, 8, generator=generator)
    masks = (torch.rand(4, 8, 8, generator=generator) > 0.6).float()
    wanted = masks[:, None].expand_as(logits)
    focal = sigmoid_focal_loss(logits, wanted, alpha=0.25, gamma=2).mean((2, 3))
    shares = logits.sigmoid()
    dice = (2 * (shares * wanted).sum((2, 3)) + 1) / (shares.sum((2, 3)) + wanted.sum((2, 3)) + 1)
    expected = 20 * focal + 1 - dice
    assert torch.allclose(sam.mask_losses(logits, masks), expected, atol=1e-5)


def test_a_right_answer_loses_nothing() -> None:
    """A confident, correct mask has loss 0 and IoU 1; its opposite has IoU 0."""
    masks = torch.zeros(1, 8, 8)
    masks[0, 2:5, 3:6] = 1
    logits = 40 * (masks[:, None] - 0.5)
    assert sam.mask_losses(logits, masks).item() == pytest.approx(0, abs=1e-4)
    assert sam.ious(logits, masks).item() == 1
    assert sam.ious(-logits, masks).item() == 0


def test_positions_are_coded_at_scale_one_and_not_trained(untrained: sam.SamModel) -> None:
    """The random code has standard deviation 1, is one tensor, and is in no parameter group."""
    code = untrained.shared_image_embedding.positional_embedding
    assert code.std().item() == pytest.approx(1, abs=0.3)
    assert untrained.prompt_encoder.shared_embedding.positional_embedding is code
    trained = [p for group in parameter_groups(untrained, 0.1) for p in group["params"]]
    assert all(parameter is not code for parameter in trained)
    assert len(trained) > 100


def test_a_lone_point_gets_three_masks(untrained: sam.SamModel, batch: sam.Targets) -> None:
    """Points are answered by the multi-mask output, boxes with or without a point by the other."""
    embedding = sam.embed(untrained, batch.images)
    for prompt, masks in (("point", 3), ("box", 1), ("point_box", 1)):
        rows, answer = sam.ask(untrained, embedding, batch, prompt)
        assert answer.logits.shape == (len(rows), masks, sam.SIDE, sam.SIDE)
        assert answer.iou.shape == (len(rows), masks)
        assert (batch.prompts[rows.numpy()] == prompt).all()


def test_only_the_best_of_three_learns(untrained: sam.SamModel, batch: sam.Targets) -> None:
    """The answer of least loss gets a gradient from the mask loss; the two others get none."""
    embedding = sam.embed(untrained, batch.images).detach()
    rows, answer = sam.ask(untrained, embedding, batch, "point")
    logits = answer.logits.detach().requires_grad_()
    losses = sam.mask_losses(logits, torch.from_numpy(batch.masks)[rows].float())
    losses.min(dim=1).values.sum().backward()
    assert logits.grad is not None
    learning = logits.grad.abs().sum((2, 3)) > 0
    assert torch.equal(learning, functional.one_hot(losses.argmin(1), 3).bool())


def test_saved_weights_load_like_a_released_sam(untrained: sam.SamModel, tmp_path: Path) -> None:
    """Half-precision on disk, single in memory, the same answers to within the rounding."""
    sam.save(untrained, tmp_path)
    loaded = load_promptable(str(tmp_path)).model
    assert (tmp_path / "model.safetensors").stat().st_size < 2.5e6
    assert next(loaded.parameters()).dtype == torch.float32
    images = np.stack([scene.image for scene in scenes("tiny-coco", "val", range(2))])
    with torch.no_grad():
        difference = sam.embed(loaded, images) - sam.embed(untrained, images)
    assert difference.abs().max() < 0.05


def test_a_few_steps_write_a_model_and_its_card(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The recipe, cut to two steps and three, trains, saves, and records what it measures."""
    monkeypatch.setattr(sam, "HELD_OUT_PICTURES", 2)
    schedule = Schedule(steps=2, learning_rate=1e-3, checkpoint_every=1)
    done: list[int] = []
    sam.pretrain(
        tmp_path / "sam",
        tmp_path / "run",
        schedule,
        lambda step, _total, _figures: done.append(step),
    )
    assert done == [1, 2, 3, 4, 5]
    measured = sam.figures(load_promptable(str(tmp_path / "sam")).model)
    assert read_figures(tmp_path / "sam") == pytest.approx(measured, abs=1e-3)
    assert set(measured) == {f"{w}/{m}" for w in WORLDS for m in ("box", "point", "best of three")}


@pytest.fixture(scope="module")
def shipped_figures() -> dict[str, float]:
    return sam.figures(load_promptable("tiny").model)


def test_the_shipped_model_is_as_good_as_its_card_says(shipped_figures: dict[str, float]) -> None:
    """Zero-shot figures of the shipped weights are the card's, but for a machine's arithmetic."""
    assert shipped_figures == pytest.approx(read_figures(weights_path("sam")), abs=0.01)


@pytest.mark.parametrize("world", WORLDS)
def test_a_point_tells_less_than_a_box(shipped_figures: dict[str, float], world: str) -> None:
    """The ambiguity of points that the pipeline is about is there, and boxes resolve it."""
    box, point = shipped_figures[f"{world}/box"], shipped_figures[f"{world}/point"]
    best = shipped_figures[f"{world}/best of three"]
    assert point + 0.05 < box
    assert point < best
