"""One step of a student where numbers overflow, and what half precision must leave alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from student_world import NAMES, make_backbone, make_dataset, swin, tiny_values

from omnicost.annotation import AnnotationType
from omnicost.errors import StageError
from omnicost.models.students.mask2former import Mask2FormerStudent
from omnicost.models.students.student import freeze_unreached
from omnicost.pipeline.student import train
from omnicost.pipeline.student.config import StudentConfig
from omnicost.pipeline.student.data import (
    ALONE,
    StepBatches,
    TrainingSet,
    World,
    read_pseudo_labels,
)
from omnicost.pipeline.student.step import Skips, StepEnd, build_optimizer, train_step
from omnicost.progress import silent

MASK = AnnotationType.MASK.strength


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("step")
    make_backbone(folder / "backbone")
    return folder


def config_of(**values: Any) -> StudentConfig:
    return StudentConfig.model_validate({**tiny_values(), **values})


def student_of(root: Path, config: StudentConfig) -> Any:
    return train.build_student(config, NAMES, str(root / "backbone"), seed=0)


def batches_of(root: Path, config: StudentConfig) -> StepBatches:
    dataset = make_dataset(root / "data")
    labels = read_pseudo_labels([])
    return StepBatches(TrainingSet(dataset, np.full(6, MASK), labels, config), config, 0)


def overflowing(monkeypatch: pytest.MonkeyPatch, steps: set[int]) -> None:
    """Losses of these calls, counted from 0, are infinite, as when half precision overflows."""
    loss, calls = Mask2FormerStudent.loss, iter(range(10_000))

    def broken(self: Any, *given: Any) -> dict[str, torch.Tensor]:
        scale = float("inf") if next(calls) in steps else 1.0
        return {name: value * scale for name, value in loss(self, *given).items()}

    monkeypatch.setattr(Mask2FormerStudent, "loss", broken)


def working_scaler(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scaler that works on the CPU too, as fp16's does on a GPU."""
    scaler = lambda config, device: torch.amp.GradScaler("cpu", init_scale=2.0**10)  # noqa: E731
    monkeypatch.setattr(train, "build_scaler", scaler)


def test_an_infinite_loss_under_a_scaler_is_a_skipped_step(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The weights stay, the scale falls, and the next step trains."""
    config = config_of()
    batches, student = batches_of(root, config), student_of(root, config)
    optimizer = build_optimizer(student, config.optimizer)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    overflowing(monkeypatch, {0})
    before = {name: value.clone() for name, value in student.state_dict().items()}
    end = train_step(student, batches[0], optimizer, scaler, config, "cpu", ALONE)
    assert end.is_skipped
    assert scaler.get_scale() == 2.0**9
    assert all(torch.equal(value, before[name]) for name, value in student.state_dict().items())
    end = train_step(student, batches[1], optimizer, scaler, config, "cpu", ALONE)
    assert not end.is_skipped
    assert np.isfinite(end.losses["loss"])
    assert not torch.equal(student.class_predictor.weight, before["class_predictor.weight"])


def test_a_training_goes_on_over_skipped_steps(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its log is JSON, with the last loss that was a number, and counts what it skipped."""
    working_scaler(monkeypatch)
    overflowing(monkeypatch, {2})
    config, figures = config_of(), []
    student = student_of(root, config)
    train.train_loop(
        student, batches_of(root, config), config, 0, tmp_path, "cpu",
        lambda done, total, told: figures.append(told),
    )  # fmt: skip
    assert len(figures) == 6
    assert all(np.isfinite(told["loss"]) for told in figures)
    assert [told.get("skipped_steps", 0) for told in figures] == [0, 0, 1, 1, 1, 1]
    assert "Infinity" not in (tmp_path / train.LOG).read_text()


def test_only_what_a_feature_map_depends_on_is_trained_by_several_processes(
    root: Path, tmp_path: Path
) -> None:
    """Swin's last norm gives no feature map: torch's processes would wait for its gradient."""
    config = config_of()
    student = train.build_student(config, ("cat", "dog"), "", seed=0, start=str(swin(tmp_path)))
    state = {name: value.clone() for name, value in student.state_dict().items()}
    draws = torch.get_rng_state()
    freeze_unreached(student.train())
    assert torch.equal(torch.get_rng_state(), draws)
    assert all(torch.equal(value, state[name]) for name, value in student.state_dict().items())
    batch = batches_of(root, config)[0]
    sum(
        student(
            batch.images, [one._replace(classes=one.classes % 2) for one in batch.targets]
        ).values()
    ).backward()
    missing = [n for n, p in student.named_parameters() if p.requires_grad and p.grad is None]
    frozen = [n for n, p in student.backbone.named_parameters() if not p.requires_grad]
    assert missing == []
    assert frozen == ["swin.layernorm.weight", "swin.layernorm.bias"]


def test_no_decay_on_swins_embeddings_of_positions(tmp_path: Path) -> None:
    """As the authors have it: their tables of positions are embeddings, if plain parameters."""
    config = config_of()
    student = train.build_student(config, ("cat", "dog"), "", seed=0, start=str(swin(tmp_path)))
    tables = [
        part for name, part in student.named_parameters() if "relative_position_bias_table" in name
    ]
    decay = {
        part: group["weight_decay"]
        for group in build_optimizer(student, config.optimizer).param_groups
        for part in group["params"]
    }
    assert len(tables) == 4
    assert all(decay[part] == 0 for part in tables)


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
def test_steps_multiply_as_the_precision_says(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    """TF32 in each step but for fp32; outside, where students are scored, torch's own setting."""
    backends: tuple[Any, ...] = (torch.backends.cuda.matmul, torch.backends.cudnn)
    inside, outside = [], []
    config = config_of(
        precision=precision, schedule={"steps": 1, "batch_images": 4, "warmup_steps": 0}
    )

    def step(*_: object) -> StepEnd:
        inside.append([backend.allow_tf32 for backend in backends])
        return StepEnd({"loss": 1.0}, False)

    monkeypatch.setattr(train, "train_step", step)
    before = [backend.allow_tf32 for backend in backends]
    train.train_loop(
        student_of(root, config), batches_of(root, config), config, 0, tmp_path, "cpu",
        lambda *_: outside.append([backend.allow_tf32 for backend in backends]),
    )  # fmt: skip
    assert inside == [[precision != "fp32"] * 2]
    assert outside == [before]


def test_skips_without_end_are_an_end(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no scale helps, training stops with the step and its images, and a remedy."""
    monkeypatch.setattr(Skips, "MOST_IN_A_ROW", 3)
    working_scaler(monkeypatch)
    overflowing(monkeypatch, set(range(1, 100)))
    config = config_of()
    with pytest.raises(StageError, match=r"4 steps in a row.*last 5 on image ids \d+.*bf16"):
        train.train_loop(
            student_of(root, config),
            batches_of(root, config),
            config,
            0,
            root / "work",
            "cpu",
            silent,
        )


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_the_pixel_decoder_works_in_single_precision(root: Path, precision: str) -> None:
    """As released: its inputs, its layers and what it gives out are float32 under autocast."""
    student = student_of(root, config_of())
    decoder = student.network.pixel_level_module.decoder
    seen: dict[str, torch.dtype] = {}
    for name, part in decoder.named_modules():
        part.register_forward_hook(
            lambda _module, _given, out, name=name: seen.update(
                {name: out.dtype} if isinstance(out, torch.Tensor) else {}
            )
        )
    pixels = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    with torch.autocast("cpu", dtype={"bf16": torch.bfloat16, "fp16": torch.float16}[precision]):
        masks, _ = student.outputs(pixels)
    assert seen["mask_projection"] == torch.float32
    assert set(seen.values()) == {torch.float32}
    assert masks[-1].dtype != torch.float32  # the rest works in half precision


@pytest.mark.parametrize(
    ("processes", "device", "frozen", "synchronised"),
    [
        (2, "cuda:0", False, True),
        (2, "cuda:0", True, False),
        (1, "cuda:0", False, False),
        (2, "cpu", False, False),  # torch cannot
    ],
)
def test_norms_that_train_are_synchronised_over_processes(
    root: Path, processes: int, device: str, frozen: bool, synchronised: bool
) -> None:
    """Cityscapes' recipe: several GPUs see one batch; parameters and their names stay the same."""
    values = tiny_values()
    values["architecture"] |= {"freeze_batchnorm": frozen}
    student = student_of(root, StudentConfig.model_validate(values))
    parameters = list(student.parameters())
    names = list(student.state_dict())
    train.synchronise_norms(student, World(0, processes), device)
    norms = [m for m in student.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
    assert norms
    assert {isinstance(norm, torch.nn.SyncBatchNorm) for norm in norms} == {synchronised}
    assert [id(one) for one in student.parameters()] == [id(one) for one in parameters]
    assert list(student.state_dict()) == names
    assert all(norm.training is not frozen for norm in norms)
