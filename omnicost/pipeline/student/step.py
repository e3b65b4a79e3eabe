"""A student's optimizer and steps: micro-batches, half precision, losses that are no numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import nn

from omnicost.errors import StageError
from omnicost.models.students.student import Student
from omnicost.pipeline.compute import autocast
from omnicost.pipeline.student.config import OptimizerConfig, StudentConfig
from omnicost.pipeline.student.data import Batch, World

_NORMS = (
    nn.modules.batchnorm._NormBase,
    nn.GroupNorm,
    nn.LayerNorm,
    nn.LocalResponseNorm,
    nn.Embedding,
)
# Swin's embeddings that are plain parameters; the authors decay neither.
_UNDECAYED = ("relative_position_bias_table", "position_embeddings")


def build_optimizer(student: Student, config: OptimizerConfig) -> torch.optim.AdamW:
    """AdamW with no decay on norms and embeddings and a slower, or (factor 0) frozen, backbone."""
    if config.backbone_factor == 0:
        student.backbone.requires_grad_(False)  # no gradient is worked out for it either
    backbone = set(student.backbone.parameters())
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for module in student.modules():
        is_norm = isinstance(module, _NORMS)
        for name, parameter in module.named_parameters(recurse=False):
            if not parameter.requires_grad:
                continue
            rate = config.learning_rate * (config.backbone_factor if parameter in backbone else 1.0)
            decay = 0.0 if is_norm or name in _UNDECAYED else config.weight_decay
            groups.setdefault((rate, decay), []).append(parameter)
    return torch.optim.AdamW(
        [
            {"params": parameters, "lr": rate, "base_lr": rate, "weight_decay": decay}
            for (rate, decay), parameters in groups.items()
        ],
        fused=True,  # one kernel for all parameters: a tenth of the time on the CPU
    )


def build_scaler(config: StudentConfig, device: str) -> torch.amp.GradScaler:
    """What keeps gradients in half precision's range; idle but for fp16 on a GPU."""
    on_gpu = device.startswith("cuda")
    return torch.amp.GradScaler(
        "cuda" if on_gpu else "cpu", enabled=on_gpu and config.precision == "fp16"
    )


class StepEnd(NamedTuple):
    """What a step came to.

    Args:
        losses: of the whole batch, by name, and their sum as ``loss``.
        is_skipped: the scaler found a gradient that is no number, and left the weights alone.
    """

    losses: dict[str, float]
    is_skipped: bool


def train_step(
    network: nn.Module,
    batch: Batch,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    config: StudentConfig,
    device: str,
    world: World,
) -> StepEnd:
    """One optimizer step.

    Raises:
        StageError: if a loss is no number and no scaler could mend it.
    """
    optimizer.zero_grad(set_to_none=True)
    pieces = list(_pieces(batch, config.micro_batch_images))
    found: list[dict[str, torch.Tensor]] = []
    for place, piece in enumerate(pieces):
        with _no_sync(network, place < len(pieces) - 1):
            losses = _losses(network, piece, batch, config, device, world)
            found.append(losses)
            total = torch.stack(list(losses.values())).sum()
            if not scaler.is_enabled():
                _check_finite(total.item(), piece)
            scaler.scale(total).backward()
    if config.optimizer.clip_norm is not None:
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(network.parameters(), config.optimizer.clip_norm)
    scaler.step(optimizer)
    scale = scaler.get_scale()
    scaler.update()
    return StepEnd(_summed(found), scaler.get_scale() < scale)


def _losses(
    network: nn.Module, piece: Batch, batch: Batch, config: StudentConfig, device: str, world: World
) -> dict[str, torch.Tensor]:
    """A micro-batch's losses at their share of the batch's."""
    images = piece.images.to(device, non_blocking=True)
    if config.channels_last:
        images = images.contiguous(memory_format=torch.channels_last)
    targets = [target.to(device) for target in piece.targets]
    with autocast(device, config.precision):
        losses: dict[str, torch.Tensor] = network(images, targets, world.size)
    if len(piece.targets) == len(batch.targets):
        return losses
    student: Any = getattr(network, "module", network)
    shares = student.shares(piece.targets, batch.targets, world.size, device)
    return {name: value * shares[name] for name, value in losses.items()}


def _summed(parts: list[dict[str, torch.Tensor]]) -> dict[str, float]:
    """Losses over the micro-batches, fetched from the device at once."""
    names = list(parts[0])
    values = torch.stack([part[name].detach() for part in parts for name in names]).tolist()
    sums = {name: sum(values[place :: len(names)]) for place, name in enumerate(names)}
    return {"loss": sum(sums.values()), **sums}


def _pieces(batch: Batch, size: int | None) -> Iterable[Batch]:
    count = len(batch.targets)
    for start in range(0, count, size or count):
        part = slice(start, start + (size or count))
        yield Batch(batch.step, batch.image_ids[part], batch.images[part], batch.targets[part])


def _check_finite(loss: float, batch: Batch) -> None:
    if not math.isfinite(loss):
        raise StageError(
            f"student: loss is {loss} at step {batch.step + 1} on image ids {_ids(batch)}; look at "
            "these images' masks, or lower student.optimizer.learning_rate"
        )


class Skips:
    """Counts skipped steps, and ends a training in which they no longer end.

    A scaler skips its first few steps, until its scale suits, and then one now and again.
    """

    MOST_IN_A_ROW = 40  # halvings of the initial 65,536 that no gradient could need

    def __init__(self) -> None:
        self.in_all = 0
        self._in_a_row = 0

    def count(self, end: StepEnd, batch: Batch) -> None:
        """Take note of a step.

        Raises:
            StageError: if too many in a row were skipped.
        """
        self.in_all += end.is_skipped
        self._in_a_row = self._in_a_row + 1 if end.is_skipped else 0
        if self._in_a_row > self.MOST_IN_A_ROW:
            raise StageError(
                f"student: {self._in_a_row} steps in a row whose gradient is no number, the last "
                f"{batch.step + 1} on image ids {_ids(batch)}; use student.precision bf16 or fp32"
            )


def _ids(batch: Batch) -> str:
    return ", ".join(map(str, batch.image_ids))


def _no_sync(network: nn.Module, more_to_come: bool) -> AbstractContextManager[Any]:
    if more_to_come and isinstance(network, nn.parallel.DistributedDataParallel):
        return network.no_sync()
    return nullcontext()
