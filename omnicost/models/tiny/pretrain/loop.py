"""The training loop that the five tiny models share: schedule, averaging, log, checkpoints.

A run is a function of its schedule and of ``loss_at(step)`` alone: whoever draws a batch seeds it
with the step, so a run that was killed and started again ends with the same bits as one that was
not. A checkpoint is one safetensors file (weights, optimizer, average, random state); nothing is
pickled.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from omnicost.errors import InputError
from omnicost.models import checkpoint
from omnicost.models.step_log import StepLog
from omnicost.progress import Progress

LOG = "log.jsonl"

LossAt = Callable[[int], tuple[Tensor, Mapping[str, float]]]
Evaluate = Callable[[nn.Module], Mapping[str, float]]


@dataclass(frozen=True)
class Schedule:
    """How long and how fast: AdamW with linear warm-up, then a cosine down to ``final_share``.

    ``average_decay`` is that of the exponential average of the weights that is kept and shipped
    (0: the last weights). ``evaluate_every`` 0 evaluates at the end only. ``horizon`` is the step
    at which the cosine ends, when it is not the last one: a run that stops before it leaves the
    cooling down to the average. ``backbone_share`` is the rate of a model's `backbone`, as a share
    of the others'.
    """

    steps: int
    learning_rate: float
    warmup_steps: int = 100
    final_share: float = 0.02
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    average_decay: float = 0.998
    log_every: int = 50
    checkpoint_every: int = 250
    evaluate_every: int = 0
    horizon: int | None = None
    backbone_share: float = 1.0

    def rate_at(self, step: int) -> float:
        """Learning rate of ``step`` (from 0)."""
        if step < self.warmup_steps:
            return self.learning_rate * (step + 1) / self.warmup_steps
        last = self.horizon or self.steps
        done = (step - self.warmup_steps) / max(1, last - self.warmup_steps)
        share = self.final_share + (1 - self.final_share) * 0.5 * (1 + math.cos(math.pi * done))
        return self.learning_rate * share

    def decay_at(self, step: int) -> float:
        """Decay of the average at ``step``: short at first, so that the start is forgotten."""
        return min(self.average_decay, (step + 1) / (step + 10))


class Trained(NamedTuple):
    """A finished run: the averaged model, its steps, its seconds over all restarts, its figures."""

    model: nn.Module
    steps: int
    seconds: float
    figures: dict[str, float]


@dataclass
class _State:
    """Everything that a checkpoint holds."""

    model: nn.Module
    optimizer: torch.optim.AdamW
    average: dict[str, Tensor]
    step: int = 0
    seconds: float = 0.0


def train(
    model: nn.Module,
    loss_at: LossAt,
    schedule: Schedule,
    work: Path,
    *,
    evaluate: Evaluate | None = None,
    report: Progress | None = None,
) -> Trained:
    """Train ``model`` in place and leave the averaged weights in it, in evaluation mode.

    Args:
        model: parameters with ``requires_grad`` are trained.
        loss_at: loss and figures of one step; draws its batch from the step's number alone
            (and from torch's global generator, whose state is kept).
        schedule: see `Schedule`.
        work: folder of ``checkpoint.safetensors`` and ``log.jsonl``; a run found there continues.
        evaluate: figures of the averaged model, logged; may not change it.
        report: called after every step with (done, total, latest figures).

    Raises:
        InputError: ``work`` holds a checkpoint of another schedule or model.
    """
    work.mkdir(parents=True, exist_ok=True)
    state = _State(model, _optimizer(model, schedule), _copy_of(model))
    _resume(state, schedule, work)
    log = StepLog(work / LOG)
    log.rewind(state.step)
    figures: dict[str, float] = {}
    model.train()
    began = time.perf_counter() - state.seconds
    while state.step < schedule.steps:
        figures = _step(state, loss_at, schedule)
        state.seconds = time.perf_counter() - began
        if state.step % schedule.log_every == 0 or state.step == schedule.steps:
            _logged(log, state, figures)
        if schedule.evaluate_every and state.step % schedule.evaluate_every == 0:
            _logged(log, state, _evaluated(state, evaluate))
        if state.step % schedule.checkpoint_every == 0 or state.step == schedule.steps:
            _save(state, schedule, work)
        if report is not None:
            report(state.step, schedule.steps, figures)
    _load_average(state)
    figures = dict(evaluate(model)) if evaluate is not None else figures
    return Trained(model, state.step, state.seconds, figures)


def summed(losses: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
    """What a step returns whose loss has parts: their sum, and each of them as a figure."""
    loss = torch.stack(list(losses.values())).sum()
    return loss, {name: value.item() for name, value in losses.items()}


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Trainable parameters in two groups: matrices decay; norms, biases and embeddings do not."""
    embeddings = {
        id(p) for m in model.modules() if isinstance(m, nn.Embedding) for p in m.parameters()
    }
    trainable = [p for p in model.parameters() if p.requires_grad]
    decayed = [p for p in trainable if p.ndim > 1 and id(p) not in embeddings]
    kept = {id(p) for p in decayed}
    rest = [p for p in trainable if id(p) not in kept]
    return [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": rest, "weight_decay": 0.0},
    ]


def _optimizer(model: nn.Module, schedule: Schedule) -> torch.optim.AdamW:
    groups = parameter_groups(model, schedule.weight_decay)
    if schedule.backbone_share != 1:
        groups = _slower_backbone(model, groups, schedule.backbone_share)
    return torch.optim.AdamW(groups, lr=schedule.learning_rate)


def _slower_backbone(
    model: nn.Module, groups: list[dict[str, Any]], share: float
) -> list[dict[str, Any]]:
    """Each group in two, the backbone's parameters with ``rate_share``."""
    backbone: Any = model.backbone
    slow = {id(p) for p in backbone.parameters()}
    return [
        {**group, "params": [p for p in group["params"] if (id(p) in slow) == is_slow]}
        | {"rate_share": share if is_slow else 1.0}
        for group in groups
        for is_slow in (False, True)
    ]


def _step(state: _State, loss_at: LossAt, schedule: Schedule) -> dict[str, float]:
    """One update; the figures of its batch."""
    rate = schedule.rate_at(state.step)
    for group in state.optimizer.param_groups:
        group["lr"] = rate * group.get("rate_share", 1.0)
    loss, figures = loss_at(state.step)
    state.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    norm = nn.utils.clip_grad_norm_(state.model.parameters(), schedule.clip_norm)
    if not torch.isfinite(norm):
        raise FloatingPointError(f"step {state.step}: gradient norm {norm.item()}")
    state.optimizer.step()
    _update_average(state.average, state.model, schedule.decay_at(state.step))
    state.step += 1
    return {"loss": loss.item(), **figures, "rate": rate}


def _copy_of(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


@torch.no_grad()
def _update_average(average: dict[str, Tensor], model: nn.Module, decay: float) -> None:
    """Move the average towards the model; counters (BatchNorm's) are copied."""
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            average[name].lerp_(value, 1 - decay)
        else:
            average[name].copy_(value)


def _load_average(state: _State) -> None:
    state.model.load_state_dict(state.average)
    state.model.eval()


def _evaluated(state: _State, evaluate: Evaluate | None) -> dict[str, float]:
    """Figures of the averaged model; weights, mode and random state are as before afterwards."""
    if evaluate is None:
        return {}
    own, random = _copy_of(state.model), torch.get_rng_state()
    _load_average(state)
    figures = dict(evaluate(state.model))
    state.model.load_state_dict(own)
    state.model.train()
    torch.set_rng_state(random)
    return figures


def _logged(log: StepLog, state: _State, figures: Mapping[str, float]) -> None:
    if figures:
        rounded = {name: float(f"{value:.5g}") for name, value in figures.items()}
        log.write(state.step, {"seconds": round(state.seconds, 1), **rounded})


def _save(state: _State, schedule: Schedule, work: Path) -> None:
    told = {"step": state.step, "seconds": state.seconds, "schedule": asdict(schedule)}
    groups = {
        "model": state.model.state_dict(),
        "average": state.average,
        "random": {"state": torch.get_rng_state()},
    }
    checkpoint.save(work, told, groups, state.optimizer)


def _resume(state: _State, schedule: Schedule, work: Path) -> None:
    """Load the checkpoint of ``work`` into ``state``, if there is one."""
    saved = checkpoint.load(work)
    if saved is None:
        return
    path = work / checkpoint.FILE
    if not _same_schedule(saved.state["schedule"], schedule):
        raise InputError(
            path,
            f"is of another schedule ({json.dumps(saved.state['schedule'])})",
            "give another folder, or delete this one to start afresh",
        )
    try:
        state.model.load_state_dict(saved.below("model"))
    except RuntimeError as error:
        fault = str(error).splitlines()[0]
        raise InputError(path, f"is of another model ({fault})", "give another folder") from error
    state.average = saved.below("average")
    saved.restore(state.optimizer)
    torch.set_rng_state(saved.below("random")["state"])
    state.step, state.seconds = saved.state["step"], saved.state["seconds"]


def _same_schedule(written: dict[str, Any], schedule: Schedule) -> bool:
    """Whether a checkpoint is of this schedule; settings that it does not know have defaults."""
    try:
        return Schedule(**written) == schedule
    except TypeError:
        return False


@contextmanager
def one_thread() -> Iterator[None]:
    """Run torch on one thread: the same bits on machines of any number of cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
