"""Teacher training: what is learnt from, resuming, refusals, and that it learns at all."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from teacher_world import lesson_world

from omnicost.data.seeding import generator
from omnicost.data.weak import random_pixel
from omnicost.errors import InputError, StageError
from omnicost.models.teachers.frame import Frame
from omnicost.pipeline.config import TeacherConfig
from omnicost.pipeline.embed import ImageEncoder
from omnicost.pipeline.teacher import train as teacher
from omnicost.pipeline.teacher.examples import Lessons
from omnicost.pipeline.teacher.kinds import ALL_KINDS, TeacherKind

SMALL = TeacherConfig(
    steps=6,
    batch_images=4,
    points=64,
    learning_rate=1e-3,
    late_learning_rate=1e-4,
    full_rate_instances=1,
    late_step=4,
    log_every=4,
    checkpoint_every=3,
    validate_every=6,
    workers=0,
)
BOX = TeacherKind("box", False)
AWARE = TeacherKind("point_box", True)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> dict:
    return lesson_world(tmp_path_factory.mktemp("teacher"))


def run(world: dict, folder: Path, config: TeacherConfig = SMALL, **changes) -> Path:
    out, work = folder / "out", folder / "work"
    out.mkdir(parents=True)
    work.mkdir(exist_ok=True)
    settings = {"kind": BOX, "labelled": range(8), "seed": 0, **changes}
    teacher.run(
        world["dataset"], world["spec"], world["text"], config, out=out, work=work, **settings
    )
    return out


def features(template: str) -> torch.Tensor:
    assert template == "{}"
    return torch.randn(3, 16)


def lines(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("kind", ALL_KINDS, ids=str)
def test_every_kind_trains_and_loads(world: dict, tmp_path: Path, kind: TeacherKind) -> None:
    """Each of the six kinds writes an artefact that loads as a tuned teacher of that kind."""
    out = run(world, tmp_path, kind=kind)
    loaded = teacher.load_teacher(out, world["sam"], features)
    assert (loaded.kind, loaded.tuned, loaded.multimask) == (kind, True, False)
    assert (loaded.class_text is not None) == kind.class_aware
    stored = load_file(out / "teacher.safetensors")
    assert any(name.startswith("class_branch.zero.") for name in stored) == kind.class_aware
    assert not any("positional" in name or "vision" in name for name in stored)
    assert all(np.isfinite(line["loss"]) for line in lines(out))


def test_it_learns(world: dict, tmp_path: Path) -> None:
    """From random weights, 140 steps on one picture are enough to know its objects by heart."""
    config = SMALL.model_copy(
        update={"steps": 140, "late_step": 140, "batch_images": 1, "points": 256}
        | {"rating_weight": 0.0}  # the logged loss is the mask's alone
        | {"log_every": 20, "validate_every": 140}
    )
    first = world["dataset"].take(np.array([0]))
    out = run(world, tmp_path, config, labelled=[0], validation=first)
    log = lines(out)
    assert log[-1]["loss"] < 0.7 * log[0]["loss"]
    assert log[-1]["miou"] > 0.5
    assert [line["step"] for line in log] == list(range(20, 141, 20))


@pytest.mark.parametrize("kind", [BOX, AWARE], ids=str)
def test_resumed_equals_uninterrupted(world: dict, tmp_path: Path, kind: TeacherKind) -> None:
    """Stopped after a checkpoint and started again: the same tensors and log, to the bit."""

    class Stopped(Exception):
        pass

    def stop(done: int, total: int, figures: dict) -> None:
        raise Stopped

    whole = run(world, tmp_path / "whole", kind=kind)
    with pytest.raises(Stopped):
        run(world, tmp_path / "cut", kind=kind, report=stop)
    (tmp_path / "cut" / "out").rmdir()
    reports = []
    cut = run(world, tmp_path / "cut", kind=kind, report=lambda *told: reports.append(told))
    assert [done for done, *_ in reports] == [4, 6]
    expected = load_file(whole / "teacher.safetensors")
    got = load_file(cut / "teacher.safetensors")
    assert expected.keys() == got.keys()
    assert all(torch.equal(expected[name], got[name]) for name in expected)
    assert lines(cut) == lines(whole)


def test_reading_ahead_changes_nothing(world: dict, tmp_path: Path) -> None:
    """Batches read ahead in a thread are the same batches."""
    first = run(world, tmp_path / "a")
    second = run(world, tmp_path / "b", SMALL.model_copy(update={"workers": 3}))
    one, two = (load_file(out / "teacher.safetensors") for out in (first, second))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_validation_pictures_are_encoded_once(
    world: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three validations encode no more pictures than one."""
    encode, counts = ImageEncoder.encode, []
    for every in (6, 2):
        encoded: list[int] = []
        monkeypatch.setattr(
            ImageEncoder,
            "encode",
            lambda s, p, seen=encoded: (seen.append(len(p)), encode(s, p))[1],
        )
        config = SMALL.model_copy(update={"validate_every": every, "log_every": 1})
        out = run(world, tmp_path / str(every), config, validation=world["dataset"])
        assert sum("miou" in line for line in lines(out)) == 6 // every
        counts.append(sum(encoded))
    assert counts[0] == counts[1]


def test_prompts_decoded_at_once_hardly_matter(world: dict, tmp_path: Path) -> None:
    """One prompt at a time gives the update of all at once, but for rounding and drawn points."""
    config = SMALL.model_copy(update={"steps": 1, "points": 4096, "log_every": 1})
    one = run(world, tmp_path / "a", config.model_copy(update={"decode_prompts": 1}))
    all_ = run(world, tmp_path / "b", config.model_copy(update={"decode_prompts": 64}))
    assert lines(one)[0]["loss"] == pytest.approx(lines(all_)[0]["loss"], rel=0.02)


@pytest.mark.parametrize(
    ("config", "labelled"),
    [(SMALL, []), (SMALL, [7]), (SMALL.model_copy(update={"tune": False}), range(8))],
    ids=["none labelled", "labelled image is empty", "tuning off"],
)
def test_nothing_to_learn_from_means_released_weights(
    world: dict, tmp_path: Path, config: TeacherConfig, labelled: list[int]
) -> None:
    """At f = 0 the artefact stands for SAM as released, whose lone points give three masks."""
    kind = TeacherKind("point", True)
    out = run(world, tmp_path, config, kind=kind, labelled=labelled)
    loaded = teacher.load_teacher(out, world["sam"], features)
    assert (loaded.tuned, loaded.multimask, loaded.class_text) == (False, True, None)
    released = world["sam"].model.mask_decoder.state_dict()
    assert all(
        torch.equal(v, released[n]) for n, v in loaded.model.mask_decoder.state_dict().items()
    )


def test_rate_drops_at_the_late_step(world: dict, tmp_path: Path) -> None:
    """With a late rate next to nothing, nothing moves after the late step."""
    until = SMALL.model_copy(update={"steps": 4, "weight_decay": 0.0})
    beyond = SMALL.model_copy(update={"late_learning_rate": 1e-30, "weight_decay": 0.0})
    one = load_file(run(world, tmp_path / "a", until) / "teacher.safetensors")
    two = load_file(run(world, tmp_path / "b", beyond) / "teacher.safetensors")
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_only_prompt_encoder_and_decoder_move(world: dict, tmp_path: Path) -> None:
    """The artefact of a plain teacher differs from SAM in those, never in the position."""
    stored = load_file(run(world, tmp_path) / "teacher.safetensors")
    released = world["sam"].model.state_dict()
    changed = {
        name.split(".")[0] for name in stored if not torch.equal(stored[name], released[name])
    }
    assert changed == {"prompt_encoder", "mask_decoder"}


def test_non_finite_loss_stops_with_the_batch(world: dict, tmp_path: Path) -> None:
    """A loss that is no number names kind, step and images in one line."""
    config = SMALL.model_copy(update={"learning_rate": 1e30})
    with pytest.raises(StageError) as caught:
        run(world, tmp_path, config)
    line = str(caught.value)
    assert "\n" not in line
    assert "teacher box/plain: loss is" in line
    assert "images " in line
    assert "learning_rate" in line


def test_bf16_trains(world: dict, tmp_path: Path) -> None:
    """Mixed precision keeps the weights in fp32 and stays near the fp32 loss."""
    half = run(world, tmp_path / "a", SMALL.model_copy(update={"precision": "bf16"}))
    full = run(world, tmp_path / "b")
    assert lines(half)[0]["loss"] == pytest.approx(lines(full)[0]["loss"], rel=0.05)
    stored = load_file(half / "teacher.safetensors")
    assert {value.dtype for value in stored.values()} == {torch.float32}


def test_another_sam_s_teacher_is_refused(world: dict, tmp_path: Path) -> None:
    """A damaged or foreign artefact is one line."""
    out = run(world, tmp_path)
    (out / "teacher.safetensors").write_bytes(b"nothing")
    with pytest.raises(InputError, match="not a teacher of this SAM"):
        teacher.load_teacher(out, world["sam"], features)


def lessons(world: dict, labelled: list[int] | range = range(8), **changes) -> Lessons:
    config = SMALL.model_copy(update=changes)
    return Lessons(labelled, world["embeddings"], config, AWARE, Frame(64), seed=0)


def test_every_image_is_seen_once_an_epoch(world: dict) -> None:
    """Batches run through the labelled images in epochs; images without instances are left out."""
    source = lessons(world, batch_images=3)
    dataset = world["dataset"]
    filled = {int(dataset.image_ids[i]) for i in range(8) if len(dataset.instances(i).rles)}
    assert len(filled) == 7
    seen = [lesson.image_id for step in range(7) for lesson in source.step(step)]
    assert [seen.count(each) for each in filled] == [3] * 7


def test_steps_depend_on_nothing_before_them(world: dict) -> None:
    """The lessons of a step are the same whether or not others came first."""
    source = lessons(world)
    for step in range(5):
        source.step(step)
    fresh, late = lessons(world).step(5), source.step(5)
    assert [a.image_id for a in fresh] == [b.image_id for b in late]
    assert all(
        torch.equal(a.prompts.points, b.prompts.points) for a, b in zip(fresh, late, strict=True)
    )


def test_cap_on_prompts_takes_a_random_subset(world: dict) -> None:
    """A step has at most the capped number of instances, not always the same ones."""
    source = lessons(world, prompts_per_step=3, batch_images=7)
    steps = [source.step(step) for step in range(6)]
    assert all(sum(map(len, step)) == 3 for step in steps)
    assert len({tuple(lesson.image_id for lesson in step) for step in steps}) > 1


def test_points_are_redrawn_inside_the_mask(world: dict) -> None:
    """Each step points at another pixel of the same instance, always one of its own."""
    source = lessons(world, [0], batch_images=1)
    drawn = [source.step(step)[0] for step in range(6)]
    for lesson in drawn:
        points = lesson.prompts.points[:, 0].numpy()  # the picture is as wide as the frame
        for mask, (x, y) in zip(lesson.masks.numpy(), points, strict=True):
            assert mask[round(float(y)), round(float(x))]
    assert len({tuple(lesson.prompts.points[0, 0].tolist()) for lesson in drawn}) > 3


def test_pixels_are_drawn_uniformly() -> None:
    """Every pixel of the mask is as likely as any other."""
    mask = np.zeros((3, 4), bool)
    mask[1, 1:4] = mask[2, 0] = True
    drawn = [tuple(random_pixel(mask, generator("test", n))[0].tolist()) for n in range(2000)]
    counts = {point: drawn.count(point) for point in set(drawn)}
    assert set(counts) == {(1.5, 1.5), (2.5, 1.5), (3.5, 1.5), (0.5, 2.5)}
    assert all(abs(count - 500) < 100 for count in counts.values())
    assert generator("test", 1).integers(4) in range(4)
