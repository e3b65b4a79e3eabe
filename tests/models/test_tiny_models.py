"""The tiny models: their recipes, their losses, their vocabularies, the shipped weights."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers.models.grounding_dino.modeling_grounding_dino import build_label_maps

from omnicost.data.tiny.world import SPECS
from omnicost.errors import InputError
from omnicost.models.checkpoint import FILE
from omnicost.models.tiny.pretrain import backbone, detection_figures, detector, text
from omnicost.models.tiny.pretrain.__main__ import ORDER
from omnicost.models.tiny.pretrain.card import About, read_figures, update_figures, write_card
from omnicost.models.tiny.pretrain.detection_loss import (
    BoxTargets,
    Predictions,
    all_predictions,
    detection_loss,
    phrase_tokens,
)
from omnicost.models.tiny.pretrain.loop import LOG, Schedule, Trained, train
from omnicost.models.tiny.pretrain.pictures import WEB, crop, scenes, tight_boxes
from omnicost.models.tiny.pretrain.vocabulary import bert_tokenizer, clip_tokenizer

NAMES = SPECS[WEB].class_names
SHORT = Schedule(steps=4, learning_rate=1e-3, warmup_steps=2, checkpoint_every=2, log_every=1)


class Killed(Exception):
    """Stands for a kill: raised from within a step."""


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def kill_at(monkeypatch: pytest.MonkeyPatch, module: Any, step: int | None) -> None:
    """Make the recipe's loss raise at a step, or never."""
    original = module.__dict__.get("_unkilled_loss_at", module._loss_at)
    monkeypatch.setattr(module, "_unkilled_loss_at", original, raising=False)

    def loss_at(*arguments: Any, **settings: Any) -> Any:
        if arguments[-1] == step:
            raise Killed
        return original(*arguments, **settings)

    monkeypatch.setattr(module, "_loss_at", loss_at)


@pytest.mark.parametrize("name", ORDER)
def test_recipe_resumes_as_if_never_killed(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recipe killed between two checkpoints and started again ends with the same weights."""
    module = import_module(f"omnicost.models.tiny.pretrain.{name}")
    monkeypatch.setattr(module, "figures", partial(module.figures, pictures=3))
    monkeypatch.setattr(module, "SCENES_PER_STEP", 2)
    if name == "detector":
        backbone.build().save_pretrained(tmp_path / "backbone")

    def run(folder: str, killed_at: int | None) -> dict[str, Tensor]:
        kill_at(monkeypatch, module, killed_at)
        out = tmp_path / module.FOLDER if name == "detector" else tmp_path / folder
        module.pretrain(out, tmp_path / "runs" / folder, SHORT, None)
        return load_file(out / "model.safetensors")

    whole = run("whole", None)
    with pytest.raises(Killed):
        run("killed", 3)
    resumed = run("killed", None)
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)


def toy_run(work: Path, schedule: Schedule, killed_at: int | None = None) -> nn.Module:
    """Train a small net with dropout and batch norm, which use torch's random state."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 1))

    def loss_at(step: int) -> tuple[Tensor, dict[str, float]]:
        if step == killed_at:
            raise Killed
        batch = torch.randn(8, 4, generator=torch.Generator().manual_seed(step))
        return (net(batch) - batch.sum(1, keepdim=True)).square().mean(), {}

    return train(net, loss_at, schedule, work, evaluate=lambda _: {"one": 1.0}).model


@given(killed_at=st.integers(0, 11), evaluate_every=st.integers(0, 4))
@settings(max_examples=15, deadline=None)
def test_a_kill_at_any_step_changes_nothing(
    killed_at: int, evaluate_every: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Weights and log after a kill at any step are those of an undisturbed run."""
    work = tmp_path_factory.mktemp("run")
    schedule = Schedule(
        12,
        1e-2,
        warmup_steps=2,
        checkpoint_every=5,
        log_every=3,
        evaluate_every=evaluate_every,
    )
    whole = toy_run(work / "whole", schedule)
    with pytest.raises(Killed):
        toy_run(work / "killed", schedule, killed_at)
    resumed = toy_run(work / "killed", schedule)
    for key, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[key]), key
    assert log_of(work / "whole") == log_of(work / "killed")


def log_of(work: Path) -> list[dict[str, float]]:
    rows = [json.loads(line) for line in (work / LOG).read_text().splitlines()]
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def test_training_learns_and_the_average_is_kept(tmp_path: Path) -> None:
    """The loss falls, and the weights left in the model are the checkpoint's average."""
    schedule = Schedule(200, 2e-2, warmup_steps=5, log_every=1, average_decay=0.9)
    net = toy_run(tmp_path, schedule)
    losses = [row["loss"] for row in log_of(tmp_path) if "loss" in row]
    assert np.mean(losses[-20:]) < 0.5 * np.mean(losses[:5])
    saved = load_file(tmp_path / FILE)
    assert torch.equal(net[0].weight, saved["average/0.weight"])
    assert not torch.equal(net[0].weight, saved["model/0.weight"])


def test_a_checkpoint_of_another_schedule_is_refused(tmp_path: Path) -> None:
    """Resuming with other settings says which file is in the way and what to do."""
    toy_run(tmp_path, SHORT)
    with pytest.raises(InputError, match=r"checkpoint.safetensors.*another schedule.*folder"):
        toy_run(tmp_path, replace(SHORT, learning_rate=2e-3))


def test_schedule_warms_up_and_cools_down() -> None:
    """The rate rises to its peak at the end of the warm-up and ends near its final share."""
    schedule = Schedule(1000, 1.0, warmup_steps=100, final_share=0.1)
    rates = [schedule.rate_at(step) for step in range(1000)]
    assert max(rates) == pytest.approx(1.0) == rates[99]
    assert rates[-1] == pytest.approx(0.1, abs=1e-3)
    assert all(a >= b for a, b in pairwise(rates[99:]))


def test_card_round_trip(tmp_path: Path) -> None:
    """Figures of a model card are read back and updated; a folder without a card says so."""
    figures = {"tiny-coco/top1": 0.8125, "tiny-coco/all AP50": 0.5}
    write_card(tmp_path, About("text", "T", "s", "d"), Trained(nn.Linear(4, 2), 5, 61.0, figures))
    assert read_figures(tmp_path) == figures
    update_figures(tmp_path, {"tiny-coco/top1": 0.25})
    assert read_figures(tmp_path) == {"tiny-coco/top1": 0.25}
    text = (tmp_path / "README.md").read_text()
    again = Trained(nn.Linear(4, 2), 5, 61.0, {"tiny-coco/top1": 0.25})
    write_card(tmp_path, About("text", "T", "s", "d"), again)
    assert (tmp_path / "README.md").read_text() == text
    with pytest.raises(InputError, match="model card"):
        read_figures(tmp_path / "elsewhere")


@given(
    st.lists(st.text(st.characters(codec="ascii", categories=["L", "N", "P", "Zs"])), max_size=4)
)
@settings(max_examples=60, deadline=None)
def test_any_ascii_name_can_be_written(names: list[str]) -> None:
    """No name of ASCII letters, digits and punctuation needs the unknown token."""
    for tokenizer in TOKENIZERS:
        ids = tokenizer(" ".join(names))["input_ids"]
        if tokenizer.unk_token != tokenizer.eos_token:
            assert tokenizer.unk_token_id not in ids
        assert ids.count(tokenizer.eos_token_id or -1) in (0, 1)


TOKENIZERS = (bert_tokenizer(NAMES), clip_tokenizer(NAMES, text.TEMPLATES))


def test_bert_vocabulary_keeps_the_numbers_that_transformers_knows() -> None:
    """[CLS], [SEP], "." and "?" have bert-base-uncased's numbers; a class name is one token."""
    ids = TOKENIZERS[0]("Car . Dog?")["input_ids"]
    assert ids[0] == 101
    assert ids[2] == 1012
    assert ids[-2:] == [1029, 102]
    assert len(ids) == 6


@given(st.lists(st.sampled_from(["car", "street light", "x-ray", "b52", "dog"]), min_size=1))
@settings(max_examples=40, deadline=None)
def test_phrases_are_those_of_transformers(names: list[str]) -> None:
    """One row of tokens a class, in the caption's order, as transformers' own label maps have."""
    caption = detection_figures.caption_of(names)
    ids = TOKENIZERS[0](caption, return_tensors="pt")["input_ids"]
    phrases = phrase_tokens(ids[0])
    assert len(phrases) == len(names)
    expected = build_label_maps(torch.zeros(1, 1, ids.shape[1]), ids)[0].bool()
    assert torch.equal(phrases, expected)


def random_sets(seed: int) -> tuple[Predictions, list[BoxTargets]]:
    """Predictions for three pictures with 1 to 3 objects and captions of their own."""
    draw = torch.Generator().manual_seed(seed)
    boxes = torch.rand(3, 6, 4, generator=draw) * 0.5 + 0.2
    logits = torch.randn(3, 6, 7, generator=draw)
    targets = []
    for objects in (1, 2, 3):
        tokens = torch.zeros(objects, 7, dtype=torch.bool)
        tokens[torch.arange(objects), torch.randint(7, (objects,), generator=draw)] = True
        targets.append(BoxTargets(tokens, torch.rand(objects, 4, generator=draw) * 0.5 + 0.2))
    return Predictions(logits, boxes), targets


@given(seed=st.integers(0, 1000), order=st.permutations([0, 1, 2]))
@settings(max_examples=30, deadline=None)
def test_detection_loss_ignores_the_order_of_pictures(seed: int, order: list[int]) -> None:
    """Each picture is judged by its own caption (transformers' loss fails this)."""
    predictions, targets = random_sets(seed)
    shuffled = Predictions(predictions.logits[order], predictions.boxes[order])
    one = detection_loss([predictions], targets)
    other = detection_loss([shuffled], [targets[i] for i in order])
    for name, value in one.items():
        assert value == pytest.approx(other[name].item(), rel=1e-4)


def test_detection_loss_of_a_perfect_answer_is_nil() -> None:
    """Right boxes with sure, right tokens cost nothing; a wrong token costs."""
    _, targets = random_sets(0)
    logits = torch.full((3, 6, 7), -20.0)
    boxes = torch.full((3, 6, 4), 0.9)
    for picture, target in enumerate(targets):
        count = len(target.boxes)
        boxes[picture, :count] = target.boxes
        logits[picture, :count] = torch.where(target.tokens, 20.0, -20.0)
    perfect = detection_loss([Predictions(logits, boxes)], targets)
    assert sum(value.item() for value in perfect.values()) < 1e-4
    wrong = detection_loss([Predictions(logits.roll(1, dims=2), boxes)], targets)
    assert wrong["class"] > 1


def test_detection_loss_reaches_every_part_of_the_detector() -> None:
    """Backbone, text, proposals and each decoder layer all get a gradient."""
    tokenizer = TOKENIZERS[0]
    model = detector.build(tokenizer)
    pictures = scenes("tiny-coco", "train", range(2))
    captions = [detection_figures.all_classes(scene, "tiny-coco") for scene in pictures]
    caption = detection_figures.caption_of(SPECS["tiny-coco"].class_names)
    inputs = dict(tokenizer([caption] * len(pictures), return_tensors="pt"))
    targets = detector.targets_of(pictures, captions, inputs["input_ids"])
    inputs["pixel_values"] = torch.randn(len(pictures), 3, 64, 64)
    losses = detection_loss(all_predictions(model, inputs), targets)
    torch.stack(list(losses.values())).sum().backward()
    inner = model.model
    for part in (inner.backbone, inner.text_backbone, inner.encoder_output_bbox_embed):
        assert sum(p.grad.abs().sum() for p in part.parameters() if p.grad is not None) > 0
    for layer in inner.decoder.layers:
        assert all(p.grad is not None for p in layer.parameters())


def test_contrastive_loss_accepts_any_crop_of_a_class() -> None:
    """Two crops of one class are both right for its name: sure scores cost log 2 of one side."""
    scores = torch.tensor([[30.0, 0.0], [30.0, 0.0], [0.0, 30.0]])
    loss = text.contrastive_loss(scores, torch.tensor([0, 0, 1]))
    assert loss.item() == pytest.approx(np.log(2) / 2, abs=1e-4)


def test_tight_boxes_hold_their_masks() -> None:
    """Boxes are exclusive at right and bottom, as everywhere."""
    masks = np.zeros((2, 8, 8), bool)
    masks[0, 2:5, 1:7] = True
    masks[1, 7, 7] = True
    assert tight_boxes(masks).tolist() == [[1, 2, 7, 5], [7, 7, 8, 8]]
    assert tight_boxes(masks[:0]).shape == (0, 4)


def test_crop_stays_inside_the_picture() -> None:
    """The crop of a box in a corner shows that corner, whatever the margin."""
    image = np.zeros((64, 64, 3), np.uint8)
    image[:32, :32] = 255
    shown = crop(image, np.array([0, 0, 10, 10], np.float32), 16, 0.5)
    assert shown.shape == (16, 16, 3)
    assert (shown == 255).all()
    whole = crop(image, np.array([0, 0, 64, 60], np.float32), 64, 0.5)
    assert np.array_equal(whole, image)


def test_captions_of_a_step_name_every_object() -> None:
    """Whatever the kind of caption, the picture's own classes are in it, once each."""
    pictures = scenes("tiny-coco", "train", range(4))
    for seed in range(20):
        random = np.random.default_rng(seed)
        for scene, asked in zip(
            pictures, detector.asked_classes(pictures, random, len(NAMES)), strict=True
        ):
            assert set(scene.class_indices.tolist()) <= set(asked)
            assert len(set(asked)) == len(asked)
