"""How good a teacher's masks are when prompted from the ground truth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from omnicost.data import Instances, weak_label
from omnicost.pipeline.compute import batches
from omnicost.pipeline.embed import Embeddings
from omnicost.pipeline.teacher.prompting import Asked, Teacher, answer

IMAGES_AT_ONCE = 16


class Judged(NamedTuple):
    """N instances and the masks that a teacher drew for them."""

    ious: np.ndarray  # (N,) float64 in [0, 1]
    ratings: np.ndarray  # (N,) float64, the teacher's own estimates

    def mean_iou(self) -> float | None:
        """In [0, 1]; None if there is no instance."""
        return float(self.ious.mean()) if len(self.ious) else None


def judge(
    teacher: Teacher,
    images: Sequence[int],
    embeddings: Embeddings,
    device: str | torch.device = "cpu",
    seed: int = 0,
) -> Judged:
    """How well a teacher's masks fit, and how well it knows.

    Args:
        teacher: prompted with ground-truth boxes, with one drawn point, or with both, as tuned.
        images: indices of the images.
        embeddings: of the data set, which has the ground truth.
        device: where the teacher is.
        seed: of the points.
    """
    ious: list[np.ndarray] = [np.zeros(0)]
    ratings: list[np.ndarray] = [np.zeros(0)]
    for block in batches([int(index) for index in images], IMAGES_AT_ONCE):
        asked = [_asked(teacher, index, embeddings, seed) for index in block]
        for index, answered in zip(block, answer(teacher, asked, device), strict=True):
            ious.append(_ious(answered.masks, embeddings.dataset.instances(index)))
            ratings.append(answered.iou.astype(np.float64))
    return Judged(np.concatenate(ious), np.concatenate(ratings))


def _asked(teacher: Teacher, index: int, embeddings: Embeddings, seed: int) -> Asked:
    dataset = embeddings.dataset
    truth = dataset.instances(index)
    mark, box = teacher.kind.shown
    return Asked(
        embeddings.get(index),
        truth.size,
        truth.class_indices,
        None if mark is None else weak_label(dataset, index, mark, seed=seed).points,
        truth.boxes if box else None,
    )


def _ious(masks: np.ndarray, truth: Instances) -> np.ndarray:
    wanted = truth.masks()
    union = (masks | wanted).sum((1, 2))
    return np.where(union, (masks & wanted).sum((1, 2)) / np.maximum(union, 1), 1.0)
