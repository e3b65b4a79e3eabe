"""The training loop of a teacher: losses on cached features, resumable to the bit."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from omnicost.data.seeding import derive_seed
from omnicost.errors import StageError
from omnicost.models import checkpoint
from omnicost.models.step_log import StepLog
from omnicost.models.teachers.frame import join_prompts
from omnicost.models.teachers.teacher import prompts_at_once
from omnicost.pipeline.compute import ahead, autocast, workers_of
from omnicost.pipeline.config import TeacherConfig
from omnicost.pipeline.embed import Embeddings
from omnicost.pipeline.teacher.examples import Lesson, Lessons
from omnicost.pipeline.teacher.mask_loss import (
    ce_loss,
    dice_loss,
    sample_at,
    true_iou,
    uncertain_points,
)
from omnicost.pipeline.teacher.prompting import Teacher
from omnicost.pipeline.teacher.quality import judge
from omnicost.progress import Progress

LOG = "log.jsonl"


class Trainer:
    """The training loop.

    Args:
        teacher: what is tuned.
        lessons: what it learns from.
        config: loss and schedule.
        work: folder of the checkpoint to take up from and of the log.
        device: where the model is.

    Set `validation` to have the mean IoU on a split reported as training goes on.
    """

    def __init__(
        self, teacher: Teacher, lessons: Lessons, config: TeacherConfig, work: Path, device: str
    ) -> None:
        self.teacher = teacher
        self.model = teacher.model
        self.lessons = lessons
        self.config = config
        self.work = work
        self.log = StepLog(work / LOG)
        self.device = torch.device(device)
        self.parameters = self.model.tuned_parameters()
        self.optimizer = torch.optim.AdamW(
            self.parameters.values(), config.learning_rate, weight_decay=config.weight_decay
        )
        scaled = config.precision == "fp16"
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=scaled)
        self.validation: Embeddings | None = None

    def train(self, report: Progress) -> None:
        """All steps from the last checkpoint on."""
        config = self.config
        start, losses = self._take_up()
        self.log.rewind(start)
        workers = max(1, workers_of(None)) if config.workers is None else config.workers
        upcoming = ahead(self.lessons.step, range(start, config.steps), workers)
        for step, lessons in enumerate(upcoming, start):
            losses.append(self.step(step, lessons))
            done = step + 1
            if done % config.log_every == 0 or done == config.steps:
                figures = {"loss": float(np.mean(losses)), **self._quality(done)}
                self.log.write(done, figures)
                report(done, config.steps, figures)
                losses = []
            if done % config.checkpoint_every == 0 and done < config.steps:
                state = {"done": done, "unlogged": losses}
                groups = {"value": self.parameters}
                checkpoint.save(self.work, state, groups, self.optimizer, self.scaler)
        checkpoint.require_numbers(self.optimizer)

    def _take_up(self) -> tuple[int, list[float]]:
        """Steps done and losses not yet logged; 0 and none when there is nothing to take up."""
        saved = checkpoint.load(self.work)
        if saved is None:
            return 0, []
        self.model.load_tuned(saved.below("value"))
        saved.restore(self.optimizer, self.scaler)
        return saved.state["done"], saved.state["unlogged"]

    def step(self, step: int, lessons: list[Lesson]) -> float:
        """One update; returns the loss before it."""
        config = self.config
        late = step >= config.late_step
        for group in self.optimizer.param_groups:
            group["lr"] = config.late_learning_rate if late else config.learning_rate
        self.optimizer.zero_grad(set_to_none=True)
        draw = torch.Generator(self.device)
        draw.manual_seed(derive_seed("teacher loss points", self.lessons.seed, step))
        total = sum(map(len, lessons))
        loss = 0.0
        at_once = prompts_at_once(lessons[0].features[0], config.decode_prompts, self.device)
        for part in _grouped(lessons, at_once):
            part_loss = self._loss(part, draw) / total
            self.scaler.scale(part_loss).backward()
            loss += float(part_loss.detach())
        if not math.isfinite(loss):
            raise self._diverged(step, lessons, loss)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return loss

    def _loss(self, lessons: list[Lesson], draw: torch.Generator) -> torch.Tensor:
        """Sum over the prompts of the weighted losses."""
        config, device = self.config, self.device
        text = self.teacher.class_text
        classes = torch.cat([lesson.class_indices for lesson in lessons])
        counts = torch.tensor([len(lesson) for lesson in lessons])
        owner = torch.repeat_interleave(torch.arange(len(lessons)), counts).to(device)
        levels = zip(*(lesson.features for lesson in lessons), strict=True)
        features = tuple(torch.stack(level).to(device).float() for level in levels)
        with autocast(device, config.precision):
            decoded = self.model(
                features,
                None if len(lessons) == 1 else owner,
                join_prompts([lesson.prompts for lesson in lessons]).to(device),
                None if text is None else text[classes].to(device),
            )
        logits = decoded.logits[:, 0].float()
        extent = torch.stack([lesson.extent for lesson in lessons]).to(device)[owner]
        points = uncertain_points(
            logits.detach(), extent, config.points, config.oversample, config.importance, draw
        )
        predicted = sample_at(logits, points * extent[:, None])
        wanted = _targets(lessons, points)
        ce, dice = ce_loss(predicted, wanted), dice_loss(predicted, wanted)
        losses = config.ce_weight * ce + config.dice_weight * dice
        if config.rating_weight:  # else no gradient, and so no decay, reaches the rating
            rated = decoded.iou[:, 0].float() - _true_ious(lessons, logits)
            losses = losses + config.rating_weight * rated.square()
        return losses.sum()

    def _quality(self, done: int) -> dict[str, float]:
        config = self.config
        due = done % config.validate_every == 0 or done == config.steps
        if self.validation is None or not due:
            return {}
        images = range(min(len(self.validation.dataset), config.validation_images))
        iou = judge(self.teacher, images, self.validation, self.device).mean_iou()
        return {} if iou is None else {"miou": iou}

    def _diverged(self, step: int, lessons: list[Lesson], loss: float) -> StageError:
        images = ", ".join(str(lesson.image_id) for lesson in lessons[:8])
        return StageError(
            f"teacher {self.teacher.kind}: loss is {loss} at step {step}, images {images}"
            f"{', ...' if len(lessons) > 8 else ''}; lower teacher.learning_rate or use fp32"
        )


def _targets(lessons: list[Lesson], points: torch.Tensor) -> torch.Tensor:
    """``(P, N)`` ground truth at the points, read from each picture's own full-size masks."""
    parts = []
    for lesson, where in zip(lessons, points.split([len(each) for each in lessons]), strict=True):
        parts.append(sample_at(lesson.masks.to(points.device).float(), where))
    return torch.cat(parts)


def _true_ious(lessons: list[Lesson], logits: torch.Tensor) -> torch.Tensor:
    """``(P,)`` IoU of the masks as drawn with the ground truth."""
    parts = zip(lessons, logits.split([len(each) for each in lessons]), strict=True)
    return torch.cat(
        [true_iou(part, each.masks.to(logits.device), each.extent) for each, part in parts]
    )


def _grouped(lessons: list[Lesson], size: int) -> list[list[Lesson]]:
    """The lessons' prompts in groups of at most ``size``, pictures split where they must be."""
    groups: list[list[Lesson]] = [[]]
    room = size
    for lesson in lessons:
        start = 0
        while start < len(lesson):
            end = min(len(lesson), start + room)
            groups[-1].append(_rows(lesson, slice(start, end)))
            room -= end - start
            start = end
            if not room:
                groups.append([])
                room = size
    return [group for group in groups if group]


def _rows(lesson: Lesson, rows: slice) -> Lesson:
    return replace(
        lesson,
        prompts=lesson.prompts.take(rows),
        masks=lesson.masks[rows],
        class_indices=lesson.class_indices[rows],
    )
