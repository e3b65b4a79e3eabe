"""Where a tuning starts, how fast it goes with few labels, and when it is thrown away."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from teacher_world import lesson_world

from omnicost.models.teachers.frame import Frame
from omnicost.pipeline.config import TeacherConfig
from omnicost.pipeline.teacher import train
from omnicost.pipeline.teacher.kinds import TeacherKind
from omnicost.pipeline.teacher.prompting import Teacher
from omnicost.pipeline.teacher.quality import Judged
from omnicost.pipeline.teacher.start import Verdict, best_token, instances, paced, split

POINT = TeacherKind("point", False)
FEW = TeacherConfig(
    steps=2, batch_images=4, points=32, workers=0, held_out_share=0.25, held_out_instances=3
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> dict:
    return lesson_world(tmp_path_factory.mktemp("start"))


def run(world: dict, folder: Path, config: TeacherConfig, kind: TeacherKind = POINT) -> Path:
    out, work = folder / "out", folder / "work"
    out.mkdir(parents=True)
    work.mkdir()
    train.run(
        world["dataset"],
        world["spec"],
        world["text"],
        config,
        kind=kind,
        labelled=range(8),
        seed=0,
        out=out,
        work=work,
    )
    return out


@pytest.mark.parametrize("token", [0, 1, 2])
def test_single_mask_starts_as_the_chosen_one(world: dict, token: int) -> None:
    """Token, hypernetwork and rating are copied: mask and rating are those of the chosen token."""
    head, frame = world["sam"].head(), Frame(64)
    size = tuple(world["dataset"].sizes[0].tolist())
    prompts = frame.prompts(np.array([[[20.5, 30.5]], [[40.5, 10.5]]]), None, size)
    features = tuple(torch.from_numpy(each)[None].float() for each in world["embeddings"].get(0))
    with torch.no_grad():
        head.lead_with(token)
        single = head(features, None, prompts)
        several = head(features, None, prompts, multimask=True)
    assert several.logits.shape[1] == head.multimask_tokens == 3
    torch.testing.assert_close(single.logits[:, 0], several.logits[:, token])
    torch.testing.assert_close(single.iou[:, 0], several.iou[:, token])


def test_the_best_token_is_that_of_the_best_masks(world: dict) -> None:
    """Each of the three is tried alone on the same images."""
    released = Teacher(world["sam"].head(), POINT, False, None)
    asked: list[int] = []

    def found(teacher: Teacher, images: list[int]) -> float:
        asked.append(teacher.token)
        assert teacher.multimask
        return [0.3, 0.6, 0.5][teacher.token]

    assert best_token(released, [0, 1], found) == 1
    assert asked == [0, 1, 2]


def test_p_sam_starts_from_that_token(world: dict, tmp_path: Path) -> None:
    """Without movement the first token is one of the three; `single` keeps it as released."""
    frozen = FEW.model_copy(update={"learning_rate": 1e-30, "late_learning_rate": 1e-30})
    frozen = frozen.model_copy(update={"held_out_share": 0.0, "weight_decay": 0.0})
    name = "mask_decoder.mask_tokens.weight"
    tokens = dict(world["sam"].head().named_parameters())[name]
    led = load_file(run(world, tmp_path / "best", frozen) / train.WEIGHTS)[name]
    assert not torch.equal(led[0], tokens[0])
    assert any(torch.allclose(led[0], each) for each in tokens[1:])
    single = frozen.model_copy(update={"start_token": "single"})
    kept = load_file(run(world, tmp_path / "single", single) / train.WEIGHTS)[name]
    torch.testing.assert_close(kept, tokens)


def test_only_a_lone_point_starts_elsewhere(world: dict, tmp_path: Path) -> None:
    """A box, alone or with a point, keeps the token that was trained for it."""
    frozen = FEW.model_copy(update={"learning_rate": 1e-30, "late_learning_rate": 1e-30})
    frozen = frozen.model_copy(update={"held_out_share": 0.0, "weight_decay": 0.0})
    name = "mask_decoder.mask_tokens.weight"
    tokens = dict(world["sam"].head().named_parameters())[name]
    kind = TeacherKind("point_box", False)
    kept = load_file(run(world, tmp_path, frozen, kind) / train.WEIGHTS)[name]
    torch.testing.assert_close(kept, tokens)


def test_rates_are_in_proportion_to_few_instances() -> None:
    """A tenth of the instances, a tenth of both rates; from there on the card's own."""
    config = TeacherConfig(learning_rate=1e-4, late_learning_rate=1e-5, full_rate_instances=500)
    tenth = paced(config, 50)
    assert (tenth.learning_rate, tenth.late_learning_rate) == pytest.approx((1e-5, 1e-6))
    assert paced(config, 500) == paced(config, 80_000) == config


def test_held_out_images_are_not_lessons(world: dict) -> None:
    """A quarter of eight images, by the seed; none when they hold too few instances to tell."""
    parts = split(world["dataset"], range(8), FEW, seed=1)
    assert len(parts.held_out) == 2
    assert sorted(parts.lessons + parts.held_out) == list(range(8))
    assert split(world["dataset"], range(8), FEW, seed=1) == parts
    assert any(split(world["dataset"], range(8), FEW, seed=s) != parts for s in range(2, 6))
    many = FEW.model_copy(update={"held_out_instances": 1 + instances(world["dataset"], range(8))})
    assert split(world["dataset"], range(8), many, seed=1).held_out == []
    capped = FEW.model_copy(update={"held_out_images": 1, "held_out_instances": 1})
    assert len(split(world["dataset"], range(8), capped, seed=1).held_out) == 1


@pytest.mark.parametrize(("released", "tuned", "kept"), [(0.7, 0.4, False), (0.4, 0.7, True)])
def test_released_weights_stay_where_tuning_does_not_help(
    world: dict,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    released: float,
    tuned: float,
    kept: bool,
) -> None:
    """The held-out images decide; the artefact says what they said and loads accordingly."""

    def judge(teacher: Teacher, *_: object) -> Judged:
        return Judged(np.array([tuned if teacher.tuned else released]), np.zeros(1))

    monkeypatch.setattr(train, "judge", judge)
    out = run(world, tmp_path, FEW)
    card = json.loads((out / train.CARD).read_text())
    assert card["held_out_miou"] == {"released": released, "tuned": tuned}
    assert train.load_teacher(out, world["sam"], lambda _: None).tuned == kept
    assert bool(load_file(out / train.WEIGHTS)) == kept


def test_without_held_out_images_nothing_speaks_against_tuning() -> None:
    """No verdict, no veto; a tie goes to what was tuned."""
    assert Verdict(None, None).tuning_helps
    assert Verdict(0.5, 0.5).tuning_helps
    assert not Verdict(0.5, 0.49).tuning_helps


def test_rating_head_is_trained(world: dict, tmp_path: Path) -> None:
    """With its loss the rating moves; without, nothing reaches it and it stays as released."""
    name = "mask_decoder.iou_prediction_head.proj_out.weight"
    before = dict(world["sam"].head().named_parameters())[name]
    config = FEW.model_copy(update={"held_out_share": 0.0, "full_rate_instances": 1})
    kind = TeacherKind("box", False)
    trained = load_file(run(world, tmp_path / "with", config, kind) / train.WEIGHTS)[name]
    assert not torch.equal(trained, before)
    without = config.model_copy(update={"rating_weight": 0.0})
    kept = load_file(run(world, tmp_path / "without", without, kind) / train.WEIGHTS)[name]
    assert torch.equal(kept, before)
