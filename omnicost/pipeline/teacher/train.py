"""Teacher: fine-tune SAM's prompt encoder, mask decoder and class branch (§3.1, §4.1)."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from omnicost.data import Dataset
from omnicost.data.seeding import derive_seed
from omnicost.errors import InputError, StageError
from omnicost.files import whole_file
from omnicost.models import checkpoint
from omnicost.models.step_log import StepLog
from omnicost.models.teachers.frame import join_prompts
from omnicost.models.teachers.teacher import (
    Promptable,
    PromptHead,
    load_promptable,
    prompts_at_once,
)
from omnicost.models.text import load_text_encoder
from omnicost.pipeline.compute import ahead, autocast, float32_products
from omnicost.pipeline.config import DEFAULT_EMBED, DEFAULT_TEACHER, EmbedConfig, TeacherConfig
from omnicost.pipeline.embed import Embeddings, ImageEncoder
from omnicost.pipeline.teacher.examples import Lesson, Lessons
from omnicost.pipeline.teacher.kinds import TeacherKind
from omnicost.pipeline.teacher.mask_loss import ce_loss, dice_loss, sample_at, uncertain_points
from omnicost.pipeline.teacher.prompting import Teacher
from omnicost.pipeline.teacher.quality import mean_iou
from omnicost.progress import Progress, silent

VERSION = 3  # raise when the same parameters give another output
WEIGHTS, CARD, LOG = "teacher.safetensors", "teacher.json", "log.jsonl"


def run(
    dataset: Dataset,
    sam: str,
    text: str,
    config: TeacherConfig,
    *,
    kind: TeacherKind,
    labelled: Sequence[int],
    seed: int,
    out: Path,
    work: Path,
    embeddings: Path | None = None,
    embed: EmbedConfig = DEFAULT_EMBED,
    validation: Dataset | None = None,
    device: str = "cpu",
    report: Progress = silent,
) -> None:
    """Tune a teacher of one kind and write it into ``out``.

    With nothing to learn from (no labelled instance, no steps, ``tune: false``) the artefact says
    that the released weights serve. Taken up from the last checkpoint in ``work``; on the CPU the
    result is then the same bit for bit.

    Args:
        dataset: the training split.
        sam: spec of the SAM.
        text: spec of the text encoder; read for class-aware kinds only.
        config: loss, schedule, precision.
        kind: prompts, class-aware or plain.
        labelled: indices of the images with masks.
        seed: of order, points and the projection's first weights.
        out: folder for ``teacher.safetensors`` (tuned tensors), ``teacher.json``, ``log.jsonl``.
        work: scratch kept over restarts.
        embeddings: folder of the embed step; None to encode every image each time it comes up.
        embed: how an image that is not cached is encoded.
        validation: split to report the mean IoU on; None to leave that out.
        device: a torch device.
        report: told of the steps done, with loss and mean IoU.

    Raises:
        StageError: if the loss is not finite; names step and images.
    """
    if not (config.tune and config.steps and len(labelled)):
        write_released(out, kind, config)
        return
    model = load_promptable(sam, device, embed.attention)
    encoder = ImageEncoder(model, embed, device)
    cache = Embeddings(embeddings, dataset, lambda: encoder)
    lessons = Lessons(dataset, labelled, cache, config, kind, model.frame, seed)
    if not lessons.images:
        write_released(out, kind, config)
        return
    class_text = _class_text(dataset, text, config, device) if kind.class_aware else None
    teacher = Teacher(build_model(model, kind, class_text, seed), kind, True, class_text)
    teacher.model.to(device)
    trainer = Trainer(teacher, lessons, config, work, device)
    if validation is not None:
        held_out = Embeddings(None, validation, lambda: encoder)
        trainer.validate_on(validation, held_out)
    with float32_products(config.precision):
        trainer.train(report)
    tuned = {name: value.detach() for name, value in teacher.model.tuned_parameters().items()}
    _write(out, kind, config, tuned, steps=config.steps)
    (out / LOG).write_bytes((work / LOG).read_bytes())


def build_model(
    sam: Promptable, kind: TeacherKind, class_text: torch.Tensor | None, seed: int = 0
) -> PromptHead:
    """The model of a kind of teacher, before its first step."""
    if not kind.class_aware or class_text is None:
        return sam.head()
    return sam.head(class_text.shape[1], derive_seed("projection", seed))


def load_teacher(
    folder: Path,
    sam: Promptable,
    class_text: Callable[[str], torch.Tensor],
    device: str | torch.device = "cpu",
) -> Teacher:
    """The teacher that `run` wrote, or the released weights if it tuned nothing.

    Args:
        folder: of `run`.
        sam: the model that it was tuned from.
        class_text: from a class prompt such as ``{}`` to the ``(K, D)`` features of the class
            names; asked for class-aware teachers only.

    Raises:
        InputError: if the artefact is damaged or belongs to another SAM.
    """
    try:
        card = json.loads((folder / CARD).read_text())
        tensors = load_file(folder / WEIGHTS)
        kind = TeacherKind.parse(card["kind"])
        tuned = card["steps"] > 0
        features = class_text(card["class_prompt"]) if tuned and kind.class_aware else None
        model = build_model(sam, kind, features)
        if tuned:
            model.load_tuned(tensors)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise InputError(
            folder, f"not a teacher of this SAM ({error})", "run the teacher step again"
        ) from None
    return Teacher(model.to(device).eval(), kind, tuned, features)


class Trainer:
    """The training loop.

    Args:
        teacher: what is tuned.
        lessons: what it learns from.
        config: loss and schedule.
        work: folder of the checkpoint to take up from and of the log.
        device: where the model is.
    """

    def __init__(
        self,
        teacher: Teacher,
        lessons: Lessons,
        config: TeacherConfig,
        work: Path,
        device: str,
    ) -> None:
        self.teacher = teacher
        self.model = teacher.model
        self.lessons = lessons
        self.config = config
        self.work = work
        self.log = StepLog(work / LOG)
        self.device = torch.device(device)
        self.parameters = self.model.tuned_parameters()
        self.optimiser = torch.optim.AdamW(
            self.parameters.values(), config.learning_rate, weight_decay=config.weight_decay
        )
        scaled = config.precision == "fp16"
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=scaled)
        self._validation: tuple[Dataset, Embeddings] | None = None

    def validate_on(self, dataset: Dataset, embeddings: Embeddings) -> None:
        """Report the mean IoU on a split as training goes on."""
        self._validation = dataset, embeddings

    def train(self, report: Progress) -> None:
        """All steps from the last checkpoint on."""
        config = self.config
        start, losses = self._take_up()
        self.log.rewind(start)
        workers = 1 if config.prefetch else 0
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
                checkpoint.save(self.work, state, groups, self.optimiser, self.scaler)

    def _take_up(self) -> tuple[int, list[float]]:
        """Steps done and losses not yet logged; 0 and none when there is nothing to take up."""
        saved = checkpoint.load(self.work)
        if saved is None:
            return 0, []
        self.model.load_tuned(saved.below("value"))
        saved.restore(self.optimiser, self.scaler)
        return saved.state["done"], saved.state["unlogged"]

    def step(self, step: int, lessons: list[Lesson]) -> float:
        """One update; returns the loss before it."""
        config = self.config
        late = step >= config.late_step
        for group in self.optimiser.param_groups:
            group["lr"] = config.late_learning_rate if late else config.learning_rate
        self.optimiser.zero_grad(set_to_none=True)
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
        self.scaler.step(self.optimiser)
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
        return (config.ce_weight * ce + config.dice_weight * dice).sum()

    def _quality(self, done: int) -> dict[str, float]:
        config = self.config
        due = done % config.validate_every == 0 or done == config.steps
        if self._validation is None or not due:
            return {}
        dataset, embeddings = self._validation
        images = list(range(min(len(dataset), config.validation_images)))
        iou = mean_iou(self.teacher, dataset, images, embeddings, self.device)
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


def _class_text(dataset: Dataset, text: str, config: TeacherConfig, device: str) -> torch.Tensor:
    return load_text_encoder(text, device).encode(dataset.class_names, config.class_prompt)


def write_released(out: Path, kind: TeacherKind, config: TeacherConfig = DEFAULT_TEACHER) -> None:
    """Write a teacher that says that the released weights serve."""
    _write(out, kind, config, {}, steps=0)
    (out / LOG).touch()


def _write(
    out: Path,
    kind: TeacherKind,
    config: TeacherConfig,
    tuned: dict[str, torch.Tensor],
    steps: int,
) -> None:
    tensors = {name: value.contiguous().cpu() for name, value in tuned.items()}
    with whole_file(out / WEIGHTS) as part:
        save_file(tensors, part)
    card = {"kind": str(kind), "steps": steps, "class_prompt": config.class_prompt}
    (out / CARD).write_text(json.dumps(card) + "\n")
