"""Step "student": an instance segmenter trained on real masks and pseudo-masks together."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pycocotools import mask as mask_api
from torch import nn

from omnicost.data import Dataset
from omnicost.data.seeding import derive_seed
from omnicost.errors import InputError, StageError
from omnicost.models import checkpoint
from omnicost.models.checkpoint import Checkpoint
from omnicost.models.step_log import StepLog
from omnicost.models.students import student as interface
from omnicost.models.students.settings import Detectron2Settings, Mask2FormerSettings
from omnicost.models.students.start import Start, begin_from, check_shape, read_start
from omnicost.models.students.student import Student
from omnicost.pipeline.compute import autocast
from omnicost.pipeline.config import NO_START
from omnicost.pipeline.student.config import OptimizerConfig, StudentConfig
from omnicost.pipeline.student.data import (
    ALONE,
    Batch,
    StepBatches,
    TrainingSet,
    World,
    loader,
    read_pseudo_labels,
)
from omnicost.progress import Progress

if TYPE_CHECKING:
    from omnicost.models.students.detectron2_backend import Picture

VERSION = 1  # raise when the same parameters give another output
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
    seed: int,
    out: Path,
    work: Path,
    device: str,
    report: Progress,
    world: World = ALONE,
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
        seed: of the head's weights, the order, the views and the loss's points.
        out: folder to write into (process 0 only).
        work: scratch folder, kept over restarts.
        device: such as ``cpu`` or ``cuda:0``.
        report: told of every logged step.
        world: this process among several; torch.distributed must then be initialised.

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
    pseudo = read_pseudo_labels(pseudomasks, config.pseudo_min_score)
    training = TrainingSet(dataset, strengths, pseudo, config)
    student: Student
    if config.architecture.kind == "detectron2":
        student = _trained_by_detectron2(training, config, seed, work, device, report, world)
    else:
        student = build_student(config, dataset.class_names, backbone, seed, start).to(device)
        batches = StepBatches(training, config, seed, world)
        train_loop(student, batches, config, seed, work, device, report, world)
    if world.rank == 0:
        interface.save(out / WEIGHTS, student)
        shutil.copyfile(work / LOG, out / LOG)


def _trained_by_detectron2(
    training: TrainingSet,
    config: StudentConfig,
    seed: int,
    work: Path,
    device: str,
    report: Progress,
    world: World,
) -> Student:
    """detectron2 keeps its own trainer, checkpoints and views; see its backend."""
    from omnicost.models.students import detectron2_backend as backend

    settings, schedule = config.architecture, config.schedule
    if not isinstance(settings, Detectron2Settings) or world.size > 1:
        raise InputError("student.architecture.kind", "detectron2 on several processes", "use one")
    work.mkdir(parents=True, exist_ok=True)
    plan = backend.Plan(
        schedule.steps,
        schedule.batch_images,
        schedule.drop_at,
        config.checkpoint_every,
        config.log_every,
        config.workers,
        derive_seed(seed, "student detectron2"),
    )
    names = training.dataset.class_names
    return backend.train(settings, _pictures(training), names, plan, work, device, report)


def _pictures(training: TrainingSet) -> list[Picture]:
    """What each usable image teaches, for a trainer that reads pictures itself."""
    from omnicost.models.students.detectron2_backend import Picture

    dataset, pictures = training.dataset, []
    for index in training.indices.tolist():
        labels = training.labels(index)
        boxes = mask_api.toBbox(list(labels.rles)) if labels.rles else np.zeros((0, 4))
        boxes[:, 2:] += boxes[:, :2]
        height, width = dataset.sizes[index].tolist()
        pictures.append(
            Picture(
                dataset.path(index),
                int(dataset.image_ids[index]),
                (height, width),
                boxes.astype(np.float32),
                labels.classes,
                labels.rles,
            )
        )
    return pictures


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
) -> None:
    """Train in place, from the last checkpoint in `work` if there is one."""
    work.mkdir(parents=True, exist_ok=True)
    student.train()
    if config.channels_last:
        student.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = build_optimizer(student, config.optimizer)
    scaler = torch.amp.GradScaler(enabled=config.precision == "fp16" and device != "cpu")
    identity = {**config.identity(), "seed": seed, "data": batches.training.dataset.fingerprint}
    start = _take_up(work, identity, student, optimizer, scaler)
    log = StepLog(work / LOG)
    if world.rank == 0:
        log.rewind(start)
    network = _wrapped(student, config, world, device)
    for batch in loader(batches, start, device):
        factor = config.schedule.factor(batch.step)
        for group in optimizer.param_groups:
            group["lr"] = group["base_lr"] * factor
        with _seeded(derive_seed(seed, "student step", batch.step, world.rank), device):
            losses = _step(network, batch, optimizer, scaler, config, device, world)
        done = batch.step + 1
        if done % config.log_every == 0 or done == len(batches):
            figures = {**losses, "learning_rate": config.optimizer.learning_rate * factor}
            if world.rank == 0:
                log.write(done, figures)
            report(done, len(batches), figures)
        if world.rank == 0 and done % config.checkpoint_every == 0 and done < len(batches):
            state = {"step": done, "identity": identity}
            checkpoint.save(work, state, {"model": student.state_dict()}, optimizer, scaler)


def restore_weights(work: Path, identity: dict[str, Any], student: Student) -> Checkpoint | None:
    """Take up the weights of the same training's checkpoint in `work`, if there is one."""
    saved = checkpoint.load(work)
    if saved is None or saved.state.get("identity") != identity:
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


def _step(
    network: nn.Module,
    batch: Batch,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    config: StudentConfig,
    device: str,
    world: World,
) -> dict[str, float]:
    """One optimiser step; the losses of the whole batch."""
    optimizer.zero_grad(set_to_none=True)
    pieces = list(_pieces(batch, config.micro_batch_images))
    sums: dict[str, float] = {}
    for place, piece in enumerate(pieces):
        images = piece.images.to(device, non_blocking=True)
        if config.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        targets = [target.to(device) for target in piece.targets]
        with _no_sync(network, place < len(pieces) - 1):
            with autocast(device, config.precision):
                losses = network(images, targets, world.size)
            losses = _shared(network, losses, piece, batch, device, world)
            total = torch.stack(list(losses.values())).sum()
            _check_finite(total.item(), piece)
            scaler.scale(total).backward()
        for name, value in losses.items():
            sums[name] = sums.get(name, 0.0) + value.item()
    if config.optimizer.clip_norm is not None:
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(network.parameters(), config.optimizer.clip_norm)
    scaler.step(optimizer)
    scaler.update()
    return {"loss": sum(sums.values()), **sums}


def _shared(
    network: nn.Module,
    losses: dict[str, torch.Tensor],
    piece: Batch,
    batch: Batch,
    device: str,
    world: World,
) -> dict[str, torch.Tensor]:
    """A micro-batch's losses at their share of the batch's."""
    if len(piece.targets) == len(batch.targets):
        return losses
    student: Any = getattr(network, "module", network)
    shares = student.shares(piece.targets, batch.targets, world.size, device)
    return {name: value * shares[name] for name, value in losses.items()}


def build_optimizer(student: Student, config: OptimizerConfig) -> torch.optim.AdamW:
    """AdamW with no decay on norms and embeddings and a slower, or (factor 0) frozen, backbone."""
    if config.backbone_factor == 0:
        student.backbone.requires_grad_(False)  # no gradient is worked out for it either
    backbone = set(student.backbone.parameters())
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for module in student.modules():
        undecayed = isinstance(module, _NORMS)
        for parameter in module.parameters(recurse=False):
            if not parameter.requires_grad:
                continue
            rate = config.learning_rate * (config.backbone_factor if parameter in backbone else 1.0)
            decay = 0.0 if undecayed else config.weight_decay
            groups.setdefault((rate, decay), []).append(parameter)
    return torch.optim.AdamW(
        [
            {"params": parameters, "lr": rate, "base_lr": rate, "weight_decay": decay}
            for (rate, decay), parameters in groups.items()
        ],
        fused=True,  # one kernel for all parameters: a tenth of the time on the CPU
    )


_NORMS = (
    nn.modules.batchnorm._NormBase,
    nn.GroupNorm,
    nn.LayerNorm,
    nn.LocalResponseNorm,
    nn.Embedding,
)


def _wrapped(student: Student, config: StudentConfig, world: World, device: str) -> nn.Module:
    network: nn.Module = student
    if config.compile:
        student.compile_network()
    if world.size > 1:
        devices = [torch.device(device)] if device.startswith("cuda") else None
        network = nn.parallel.DistributedDataParallel(network, device_ids=devices)
    return network


def _pieces(batch: Batch, size: int | None) -> Iterable[Batch]:
    count = len(batch.targets)
    for start in range(0, count, size or count):
        part = slice(start, start + (size or count))
        yield Batch(batch.step, batch.image_ids[part], batch.images[part], batch.targets[part])


def _check_finite(loss: float, batch: Batch) -> None:
    if not math.isfinite(loss):
        images = ", ".join(map(str, batch.image_ids))
        raise StageError(
            f"student: loss is {loss} at step {batch.step + 1} on image ids {images}; look at "
            "these images' masks, or lower student.optimizer.learning_rate"
        )


def _no_sync(network: nn.Module, more_to_come: bool) -> AbstractContextManager[Any]:
    if more_to_come and isinstance(network, nn.parallel.DistributedDataParallel):
        return network.no_sync()
    return nullcontext()


class _seeded:
    """Draws inside come from the seed; those outside go on as if nothing had been drawn."""

    def __init__(self, seed: int, device: str) -> None:
        on_gpu = device.startswith("cuda")
        self._fork = torch.random.fork_rng([torch.device(device)] if on_gpu else [])
        self._seed = seed

    def __enter__(self) -> None:
        self._fork.__enter__()
        torch.manual_seed(self._seed)

    def __exit__(self, *error: Any) -> None:
        self._fork.__exit__(*error)
