"""A teacher in use: prompts on embedded pictures to masks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import torch

from omnicost.models.masks import fetch
from omnicost.models.teachers.frame import Frame, Prompts, join_prompts
from omnicost.models.teachers.teacher import Features, PromptHead, prompts_at_once
from omnicost.pipeline.compute import autocast
from omnicost.pipeline.config import Precision
from omnicost.pipeline.embed import Arrays
from omnicost.pipeline.teacher.kinds import TeacherKind

# Logits scaled up at once: 16 MB in fp32 stay in a processor's cache; a GPU is asked less often.
FULL_SIZE_ELEMENTS: Final = {"cpu": 1 << 22, "cuda": 1 << 26}


@dataclass(frozen=True)
class Teacher:
    """A prompted model and what it takes to prompt it.

    Args:
        model: tuned, or the released weights.
        kind: the prompts it was tuned on.
        tuned: False for the released weights.
        class_text: ``(K, D)`` features of the class names; None without class-awareness.
        token: the multi-mask token that answers, from 0; None to leave that to `multimask`.
    """

    model: PromptHead
    kind: TeacherKind
    tuned: bool
    class_text: torch.Tensor | None
    token: int | None = None

    @property
    def multimask(self) -> bool:
        """Whether masks are the best of three: as released for a lone point, never once tuned."""
        return self.token is not None or (not self.tuned and self.kind.is_ambiguous)


class Asked(NamedTuple):
    """What is asked about one picture: P prompts in its own pixels."""

    features: Arrays
    size: tuple[int, int]  # height, width
    class_indices: np.ndarray  # (P,) int64
    points: np.ndarray | None  # (P, k, 2) float32
    boxes: np.ndarray | None  # (P, 4) float32


class Answer(NamedTuple):
    """Masks of one picture's prompts, in its own pixels."""

    masks: np.ndarray  # (P, H, W) bool
    iou: np.ndarray  # (P,) float32, the decoder's own estimate


@torch.no_grad()
def answer(
    teacher: Teacher,
    asked: list[Asked],
    device: str | torch.device = "cpu",
    precision: Precision = "fp32",
    decode_prompts: int | None = None,
) -> list[Answer]:
    """Masks for every prompt on every picture, decoded together across the pictures."""
    counts = [len(each.class_indices) for each in asked]
    if not sum(counts):
        return [Answer(np.zeros((0, *each.size), bool), np.zeros(0, np.float32)) for each in asked]
    logits, iou = _low_resolution(teacher, asked, counts, device, precision, decode_prompts)
    parts = zip(asked, logits.split(counts), iou.float().cpu().split(counts), strict=True)
    frame = teacher.model.frame
    return [Answer(_masks(low, each.size, frame), rated.numpy()) for each, low, rated in parts]


def _low_resolution(
    teacher: Teacher,
    asked: list[Asked],
    counts: list[int],
    device: str | torch.device,
    precision: Precision,
    decode_prompts: int | None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """``(P, h, w)`` logits and ``(P,)`` IoU estimates, of the best mask where there are three."""
    levels = zip(*(each.features for each in asked), strict=True)
    features = tuple(torch.from_numpy(np.stack(level)).to(device).float() for level in levels)
    owner = torch.repeat_interleave(torch.arange(len(asked)), torch.tensor(counts))
    frame = teacher.model.frame
    prompts = join_prompts([frame.prompts(e.points, e.boxes, e.size) for e in asked])
    classes = torch.from_numpy(np.concatenate([each.class_indices for each in asked]))
    at_once = prompts_at_once(features[0][0], decode_prompts, device)
    parts = []
    for rows in torch.arange(len(owner)).split(at_once):
        with autocast(device, precision):
            parts.append(
                _decode(teacher, features, owner[rows], prompts.take(rows), classes[rows], device)
            )
    logits, iou = (torch.cat(column) for column in zip(*parts, strict=True))
    return logits, iou


def _decode(
    teacher: Teacher,
    features: Features,
    owner: torch.Tensor,
    prompts: Prompts,
    classes: torch.Tensor,
    device: str | torch.device,
) -> tuple[torch.Tensor, torch.Tensor]:
    text = teacher.class_text
    pictures, index = owner.unique(return_inverse=True)
    decoded = teacher.model(
        tuple(level[pictures] for level in features),
        None if len(pictures) == 1 else index.to(device),
        prompts.to(device),
        None if text is None else text[classes].to(device),
        teacher.multimask,
        released=not teacher.tuned,
    )
    best = decoded.iou.argmax(1)
    if teacher.token is not None:
        best = torch.full_like(best, teacher.token)
    rows = torch.arange(len(best), device=best.device)
    return decoded.logits[rows, best].float(), decoded.iou[rows, best]


def _masks(logits: torch.Tensor, size: tuple[int, int], frame: Frame) -> np.ndarray:
    """``(P, H, W) bool``, some masks at a time: full-size logits of many would not fit."""
    elements = FULL_SIZE_ELEMENTS["cpu" if logits.device.type == "cpu" else "cuda"]
    at_once = max(1, elements // max(frame.side**2, size[0] * size[1]))
    parts = [fetch(frame.full_size_logits(low, size) > 0) for low in logits.split(at_once)]
    return np.concatenate(parts)
