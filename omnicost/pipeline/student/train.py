"""Step "student": an instance segmenter trained on real masks and pseudo-masks together."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from omnicost.data import Dataset
from omnicost.data.seeding import derive_seed
from omnicost.errors import InputError
from omnicost.models import checkpoint
from omnicost.models.checkpoint import Checkpoint
from omnicost.models.step_log import StepLog
from omnicost.models.students import student as interface
from omnicost.models.students.settings import Mask2FormerSettings
from omnicost.models.students.start import Start, begin_from, check_shape, read_start
from omnicost.models.students.student import Student, freeze_unreached
from omnicost.pipeline.compute import float32_products
from omnicost.pipeline.config import NO_START
from omnicost.pipeline.quality.calibration import read_calibration
from omnicost.pipeline.student.config import StudentConfig
from omnicost.pipeline.student.data import (
    ALONE,
    StepBatches,
    TrainingSet,
    World,
    loader,
    read_pseudo_labels,
)
from omnicost.pipeline.student.scoring import SCORES, Scoring
from omnicost.pipeline.student.step import Skips, build_optimizer, build_scaler, train_step
from omnicost.progress import Progress

VERSION = 3  # raise when the same parameters give another output
WEIGHTS = "student.safetensors"
LOG = "log.jsonl"


def run(
    dataset: Dataset,
    strengths: np.ndarray,
    pseudomasks: Sequence[Path],
    config: StudentConfig,
    *,
    backbone: str,
    start: str = NO_START,
    trunk: Path | None = None,
    validation: Dataset | None = None,
    seed: int,
    out: Path,
    work: Path,
    device: str,
    report: Progress,
    world: World = ALONE,
    calibrations: Mapping[str, Path] | None = None,
) -> None:
    """Train a student and write `student.safetensors` and `log.jsonl` into `out`.

    Real masks teach where `strengths` says mask, pseudo-masks elsewhere. Taken up from the last
    checkpoint in `work`; on the CPU the result is then the same bit for bit.

    Args:
        dataset: the training split.
        strengths: ``(I,)`` annotation types, as `splits.assign` gives them.
        pseudomasks: artefacts of the pseudo-mask step that cover the other images.
        config: architecture, schedule, views.
        backbone: hub id, folder or ``tiny``.
        start: a whole trained student in its place, or ``none``.
        trunk: artefact of the student that this one goes on from, where the config has one.
        validation: what a student is scored on as it goes, where the config has it so.
        seed: of the head's weights, the order, the views and the loss's points.
        out: folder to write into (process 0 only).
        work: scratch folder, kept over restarts.
        device: such as ``cpu`` or ``cuda:0``.
        report: told of every logged step.
        world: this process among several; torch.distributed must then be initialised.
        calibrations: artefacts of the calibrate step by annotation type, for
            ``pseudo_weight: recalibrated``; scores of the other types weigh as they are.

    Raises:
        StageError: when the loss stops being finite, naming the images.
        InputError: when nothing can be learnt from, or a setting cannot hold.
    """
    if config.schedule.batch_images % world.size:
        raise InputError(
            "student.schedule.batch_images",
            f"{config.schedule.batch_images} images over {world.size} processes",
            "use a multiple of the number of processes",
        )
    config = config.of_branch
    known = {kind: read_calibration(path) for kind, path in (calibrations or {}).items()}
    pseudo = read_pseudo_labels(pseudomasks, config.pseudo_min_score, known)
    training = TrainingSet(dataset, strengths, pseudo, config)
    student: Student
    if config.architecture.kind == "detectron2":
        from omnicost.pipeline.student import zoo

        student = zoo.train(training, config, seed, work, device, report, world)
    else:
        student = build_student(config, dataset.class_names, backbone, seed, start)
        if trunk is not None:
            student.load_state_dict(interface.load(trunk / WEIGHTS).state_dict())
        student.to(device)
        batches = StepBatches(training, config, seed, world)
        scoring = None if validation is None else Scoring(validation, config, work, device)
        train_loop(student, batches, config, seed, work, device, report, world, scoring)
    if world.rank == 0:
        interface.save(out / WEIGHTS, student)
        shutil.copyfile(work / LOG, out / LOG)
        if (work / SCORES).exists():
            shutil.copyfile(work / SCORES, out / SCORES)


def build_student(
    config: StudentConfig,
    class_names: Sequence[str],
    backbone: str,
    seed: int,
    start: str = NO_START,
) -> Student:
    """A student before training: of the start, or the backbone; what is fresh is drawn."""
    begin = None if start == NO_START else _start_of(config, start)
    beneath = backbone if begin is None else begin.backbone
    with _seeded(derive_seed(seed, "student head"), "cpu"):
        student = interface.build(config.architecture, len(class_names), beneath)
    if begin is not None:
        begin_from(student, begin, class_names)
    if config.checkpoint_activations:
        student.save_activation_memory()
    return student


def _start_of(config: StudentConfig, spec: str) -> Start:
    assert isinstance(config.architecture, Mask2FormerSettings)  # as `Recipe` has it
    start = read_start(spec)
    check_shape(start, config.architecture)
    return start


def train_loop(
    student: Student,
    batches: StepBatches,
    config: StudentConfig,
    seed: int,
    work: Path,
    device: str,
    report: Progress,
    world: World = ALONE,
    scoring: Scoring | None = None,
) -> None:
    """Train in place, from the last checkpoint in `work` if there is one."""
    work.mkdir(parents=True, exist_ok=True)
    student.train()
    if config.channels_last:
        student.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = build_optimizer(student, config.optimizer)
    scaler = build_scaler(config, device)
    identity = identity_of(config, seed, batches.training.dataset)
    start = _take_up(work, identity, student, optimizer, scaler)
    log = StepLog(work / LOG)
    if world.rank == 0:
        log.rewind(start)
    network = _wrapped(student, config, world, device)
    skips, losses = Skips(), dict[str, float]()
    for batch in loader(batches, start, device):
        factor = config.schedule.factor(batch.step)
        for group in optimizer.param_groups:
            group["lr"] = group["base_lr"] * factor
        draws = derive_seed(seed, "student step", batch.step, world.rank)
        # Not around scores: they are those of the evaluate step, bit for bit.
        with float32_products(config.precision), _seeded(draws, device):
            end = train_step(network, batch, optimizer, scaler, config, device, world)
        skips.count(end, batch)
        if math.isfinite(end.losses["loss"]):  # JSON has no other numbers
            losses = end.losses
        done = batch.step + 1
        if done % config.log_every == 0 or done == len(batches):
            figures = {**losses, "learning_rate": config.optimizer.learning_rate * factor}
            if skips.in_all:
                figures["skipped_steps"] = skips.in_all
            if world.rank == 0:
                log.write(done, figures)
            report(done, len(batches), figures)
        if scoring is not None and world.rank == 0:
            scoring.after(done, student)
        if world.rank == 0 and done % config.checkpoint_every == 0 and done < len(batches):
            state = {"step": done, "identity": identity}
            checkpoint.save(work, state, {"model": student.state_dict()}, optimizer, scaler)
    checkpoint.require_numbers(optimizer)


def identity_of(config: StudentConfig, seed: int, dataset: Dataset) -> dict[str, Any]:
    """What a checkpoint says it is of."""
    return _but_for_batch({**config.identity(), "seed": seed, "data": dataset.fingerprint})


def _but_for_batch(identity: Mapping[str, Any]) -> dict[str, Any]:
    """Micro-batches left out: what was lost with one size goes on with half of it."""
    return {name: value for name, value in identity.items() if name != "micro_batch_images"}


def restore_weights(work: Path, identity: dict[str, Any], student: Student) -> Checkpoint | None:
    """Take up the weights of the same training's checkpoint in `work`, if there is one."""
    saved = checkpoint.load(work)
    if saved is None or _but_for_batch(saved.state.get("identity", {})) != identity:
        return None
    student.load_state_dict(saved.below("model"))
    return saved


def _take_up(
    work: Path,
    identity: dict[str, Any],
    student: Student,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
) -> int:
    """Everything as it was at the last checkpoint; the steps already done."""
    saved = restore_weights(work, identity, student)
    if saved is None:
        return 0
    saved.restore(optimizer, scaler)
    return int(saved.state["step"])


def _wrapped(student: Student, config: StudentConfig, world: World, device: str) -> nn.Module:
    network: nn.Module = student
    synchronise_norms(student, world, device)
    if world.size > 1:
        freeze_unreached(student)
    if config.compile:
        student.compile_network()
    if world.size > 1:
        devices = [torch.device(device)] if device.startswith("cuda") else None
        network = nn.parallel.DistributedDataParallel(network, device_ids=devices)
    return network


def synchronise_norms(student: Student, world: World, device: str) -> None:
    """Have batch norms that train see the batch of all processes, as Cityscapes' recipe does.

    Done in place, parameters stay the same objects. torch synchronises on GPUs only.
    """
    if world.size > 1 and device.startswith("cuda") and not student.settings.freeze_batchnorm:
        nn.SyncBatchNorm.convert_sync_batchnorm(student)


@contextmanager
def _seeded(seed: int, device: str) -> Iterator[None]:
    """Draws inside come from the seed; those outside go on as if nothing had been drawn."""
    on_gpu = device.startswith("cuda")
    with torch.random.fork_rng([torch.device(device)] if on_gpu else []):
        torch.manual_seed(seed)
        yield
