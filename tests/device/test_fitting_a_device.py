"""What lets full-size models fit a device: half precision, micro-batches, compilation, workers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import student_world
import teacher_world
import torch

from omnicost.annotation import AnnotationType
from omnicost.data import Dataset
from omnicost.models.students import criterion
from omnicost.models.teachers.sam import Sam
from omnicost.pipeline.config import DEFAULT_EMBED, EmbedConfig, TeacherConfig
from omnicost.pipeline.embed import Embeddings, ImageEncoder
from omnicost.pipeline.student import train as student
from omnicost.pipeline.student.config import StudentConfig
from omnicost.pipeline.student.data import PseudoLabels, StepBatches, TrainingSet, World
from omnicost.pipeline.student.step import train_step
from omnicost.pipeline.teacher import train as teacher
from omnicost.pipeline.teacher import trainer as trainer_module
from omnicost.pipeline.teacher.examples import Lessons
from omnicost.pipeline.teacher.kinds import TeacherKind
from omnicost.pipeline.teacher.prompting import Teacher
from omnicost.progress import silent

MASK, POINT = AnnotationType.MASK.strength, AnnotationType.POINT.strength
POINTS = torch.rand(4096, 2, generator=torch.Generator().manual_seed(0))
POINT_BOX = TeacherKind("point_box", True)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return student_world.make_dataset(tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> str:
    return student_world.make_backbone(tmp_path_factory.mktemp("backbone"))


def student_config(**values: Any) -> StudentConfig:
    schedule = values.pop("schedule", {})
    return StudentConfig.model_validate({**student_world.tiny_values(**schedule), **values})


def mixed_batch(dataset: Dataset, config: StudentConfig) -> Any:
    """Four pictures with unlike numbers of instances, real and pseudo, these scored 0.25 to 1."""
    rows = [
        (int(dataset.image_ids[image]), int(kind), 0.25 * (1 + place), rle["counts"])
        for image in (1, 2, 4, 5)
        for place, (kind, rle) in enumerate(
            zip(dataset.instances(image).class_indices, dataset.instances(image).rles, strict=True)
        )
        if place <= image % 3
    ]
    ids, kinds, scores, counts = zip(*rows, strict=True)
    pseudo = PseudoLabels(
        np.array(ids), np.array(kinds), np.array(scores, np.float32), list(counts)
    )
    strengths = np.array([MASK, POINT, POINT, MASK, POINT, POINT])
    batch = StepBatches(TrainingSet(dataset, strengths, pseudo, config), config, 0)[0]
    assert len({len(target.classes) for target in batch.targets}) > 1
    return batch


def same_points(*size: int, device: Any = None) -> torch.Tensor:
    """Stands for torch.rand: the same points for every image and instance, however batched."""
    return POINTS[: size[-2]].expand(size)


@pytest.mark.parametrize(("weigh", "queries"), [("one", 8), ("score", 8), ("one", 2)])
def test_micro_batches_of_a_student_add_up(
    dataset: Dataset, backbone: str, monkeypatch: pytest.MonkeyPatch, weigh: str, queries: int
) -> None:
    """Losses and gradient of 1 + 1 + 1 + 1 or 3 + 1 pictures are those of four at once (1e-5).

    Each loss is a mean over the batch's instances or queries, so a micro-batch counts by its share
    of these, not by its number of pictures. With two queries, some instances go unmatched.
    """
    monkeypatch.setattr(criterion.torch, "rand", same_points)
    config = student_config(pseudo_weight=weigh)
    head = config.architecture.model_copy(update={"queries": queries})
    config = config.model_copy(update={"architecture": head})
    batch = mixed_batch(dataset, config)
    losses, gradient = student_step(config, batch, backbone, None)
    for size in (1, 3):
        parts, sum_of_parts = student_step(config, batch, backbone, size)
        assert parts == pytest.approx(losses, rel=1e-5)
        assert float((sum_of_parts - gradient).norm()) < 1e-5 * float(gradient.norm())


def student_step(
    config: StudentConfig, batch: Any, backbone: str, size: int | None
) -> tuple[dict[str, float], torch.Tensor]:
    """Losses and gradient of one step that moves nothing."""
    free = config.optimizer.model_copy(update={"clip_norm": None})
    config = config.model_copy(update={"micro_batch_images": size, "optimizer": free})
    model = student.build_student(config, student_world.NAMES, backbone, seed=0)
    still = torch.optim.SGD(model.parameters(), lr=0.0)
    scaler = torch.amp.GradScaler(enabled=False)
    end = train_step(model, batch, still, scaler, config, "cpu", World())
    return end.losses, gradient_of(model)


def gradient_of(model: torch.nn.Module) -> torch.Tensor:
    return torch.cat([part.grad.flatten() for part in model.parameters() if part.grad is not None])


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_trains_a_student(
    dataset: Dataset, backbone: str, tmp_path: Path, precision: str
) -> None:
    """Two steps: finite losses within 3% of those in full precision, weights still float32."""
    logs = {}
    for name in ("fp32", precision):
        out = tmp_path / name
        out.mkdir()
        student.run(
            dataset, np.full(6, MASK), [], student_config(precision=name, schedule={"steps": 2}),
            backbone=backbone, seed=0, out=out, work=out / "work", device="cpu",
            report=silent,
        )  # fmt: skip
        lines = (out / student.LOG).read_text().splitlines()
        logs[name] = [json.loads(line)["loss"] for line in lines]
    assert np.isfinite(logs[precision]).all()
    assert logs[precision] == pytest.approx(logs["fp32"], rel=0.03)
    from safetensors.torch import load_file

    weights = load_file(tmp_path / precision / student.WEIGHTS)
    assert {value.dtype for value in weights.values() if value.is_floating_point()} == {
        torch.float32
    }


class TeacherWorld:
    """A tiny teacher before its first step, and what it would learn from."""

    def __init__(self, root: Path) -> None:
        self.sam = Sam(teacher_world.tiny_sam())
        self.dataset = teacher_world.write_dataset(root / "data", images=6)
        encoder = ImageEncoder(self.sam, DEFAULT_EMBED)
        self.embeddings = Embeddings((), self.dataset, lambda: encoder)
        self.text = torch.randn(3, 16, generator=torch.Generator().manual_seed(0))
        self.root = root

    def trainer(self, config: TeacherConfig) -> trainer_module.Trainer:
        model = teacher.build_model(self.sam, self.text)
        ready = Teacher(model, POINT_BOX, True, self.text)
        lessons = Lessons(range(6), self.embeddings, config, POINT_BOX, self.sam.frame, seed=0)
        return trainer_module.Trainer(ready, lessons, config, self.root, "cpu")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> TeacherWorld:
    return TeacherWorld(tmp_path_factory.mktemp("teacher"))


def teacher_config(**values: Any) -> TeacherConfig:
    base = {"steps": 2, "batch_images": 4, "points": 64, "learning_rate": 1e-3, "workers": 0}
    return TeacherConfig.model_validate({**base, **values})


def test_prompt_groups_of_a_teacher_add_up(
    world: TeacherWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prompts decoded one or three at a time give the gradient of all at once (1e-5)."""

    def fixed(logits: torch.Tensor, extent: torch.Tensor, count: int, *_: Any) -> torch.Tensor:
        return POINTS[:count].expand(len(logits), -1, -1)

    monkeypatch.setattr(trainer_module, "uncertain_points", fixed)
    found = {}
    for size in (64, 3, 1):
        trainer = world.trainer(teacher_config(decode_prompts=size))
        lessons = trainer.lessons.step(0)
        assert sum(map(len, lessons)) > 3
        found[size] = trainer.step(0, lessons), gradient_of(trainer.model)
    loss, gradient = found[64]
    for size in (3, 1):
        assert found[size][0] == pytest.approx(loss, rel=1e-5)
        assert float((found[size][1] - gradient).norm()) < 1e-5 * float(gradient.norm())


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_trains_a_teacher(world: TeacherWorld, precision: str) -> None:
    """Finite losses, the first within 5% of full precision's; the same weights move.

    In fp16 the first steps only find the scale of the loss at which no gradient overflows.
    """
    losses, moved = {}, {}
    for name in ("fp32", precision):
        trainer = world.trainer(teacher_config(precision=name))
        before = {key: value.detach().clone() for key, value in trainer.parameters.items()}
        losses[name] = [trainer.step(step, trainer.lessons.step(step)) for step in range(12)]
        moved[name] = {
            key for key, value in trainer.parameters.items() if not torch.equal(before[key], value)
        }
    assert moved[precision] == moved["fp32"]
    assert np.isfinite(losses[precision]).all()
    assert losses[precision][0] == pytest.approx(losses["fp32"][0], rel=0.05)


@pytest.mark.parametrize("values", [{"precision": "bf16"}, {"channels_last": True}], ids=str)
def test_embeddings_are_alike_in_every_setting(world: TeacherWorld, values: dict) -> None:
    """Half precision and channels last give the plain embedding up to rounding."""
    encoder = ImageEncoder(world.sam, EmbedConfig(**values))
    plain = world.embeddings.encoder
    pixels = plain.prepare([world.dataset.image(0)])
    (wanted,), (got,) = plain.encode(pixels), encoder.encode(pixels)
    assert np.abs(got.astype(np.float32) - wanted).max() < 0.05 * wanted.std()


@pytest.mark.slow
def test_compiled_networks_are_the_same(
    dataset: Dataset, backbone: str, world: TeacherWorld
) -> None:
    """torch.compile changes neither a student's gradient nor an embedding beyond rounding."""
    config = student_config()
    batch = mixed_batch(dataset, config)
    losses, gradient = compiled_step(config, batch, backbone, compiled=False)
    fast, same = compiled_step(config, batch, backbone, compiled=True)
    assert fast == pytest.approx(losses, rel=1e-4)
    assert float((same - gradient).norm()) < 1e-2 * float(gradient.norm())
    plain = world.embeddings.encoder
    pixels = plain.prepare([world.dataset.image(0)])
    encoder = ImageEncoder(Sam(teacher_world.tiny_sam()), EmbedConfig(compile=True))
    np.testing.assert_allclose(encoder.encode(pixels)[0], plain.encode(pixels)[0], atol=0.01)


def compiled_step(
    config: StudentConfig, batch: Any, backbone: str, compiled: bool
) -> tuple[dict[str, float], torch.Tensor]:
    """Losses and gradient of one batch."""
    model = student.build_student(config, student_world.NAMES, backbone, seed=0)
    if compiled:
        model.compile_network()
    torch.manual_seed(0)
    losses = model(batch.images, batch.targets)
    sum(losses.values()).backward()
    return {name: float(value) for name, value in losses.items()}, gradient_of(model)
