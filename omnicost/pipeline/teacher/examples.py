"""What a teacher learns from: the labelled images of each step, with prompts and masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from pycocotools import mask as mask_api

from omnicost.annotation import AnnotationType
from omnicost.data import Dataset, Instances
from omnicost.data.seeding import generator
from omnicost.data.weak import MARKS
from omnicost.models.teachers.frame import Frame, Prompts
from omnicost.pipeline.config import TeacherConfig
from omnicost.pipeline.embed import Embeddings
from omnicost.pipeline.teacher.kinds import TeacherKind


@dataclass(frozen=True)
class Lesson:
    """One image of a step: P instances to segment."""

    image_id: int
    features: tuple[torch.Tensor, ...]  # (C, h, w) float16 of each level
    prompts: Prompts  # P, in the frame
    masks: torch.Tensor  # (P, H, W) uint8
    class_indices: torch.Tensor  # (P,) int64
    extent: torch.Tensor  # (2,) width and height of the picture in shares of the frame

    def __len__(self) -> int:
        return len(self.class_indices)


class Lessons:
    """The images of every step; which they are depends on seed and step alone.

    Images come in epochs, each in an order of its own; a batch goes on into the next epoch. Images
    without an instance to point at are left out.

    Args:
        labelled: indices of the images with masks.
        embeddings: of the training split.
        config: batch size and cap on prompts.
        kind: which prompts to make.
        frame: of the model.
        seed: of order, subsets and points.
    """

    def __init__(
        self,
        labelled: Sequence[int],
        embeddings: Embeddings,
        config: TeacherConfig,
        kind: TeacherKind,
        frame: Frame,
        seed: int,
    ) -> None:
        self.dataset = embeddings.dataset
        self.embeddings = embeddings
        self.config = config
        self.kind = kind
        self.frame = frame
        self.seed = seed
        self.images = [int(index) for index in labelled if len(_visible(self.dataset, int(index)))]
        self._order = lru_cache(2)(self._drawn_order)  # steps that threads read lie side by side

    def step(self, step: int) -> list[Lesson]:
        """The lessons of a step, at most `prompts_per_step` instances in all."""
        images = self._images(step)
        visible = [_visible(self.dataset, index) for index in images]
        owner = np.repeat(np.arange(len(images)), [len(rows) for rows in visible])
        rows = np.concatenate(visible)
        cap = self.config.prompts_per_step
        if len(rows) > cap:
            draw = generator("teacher subset", self.seed, step)
            chosen = np.sort(draw.choice(len(rows), cap, replace=False))
            owner, rows = owner[chosen], rows[chosen]
        return [
            self._lesson(index, rows[owner == number], step)
            for number, index in enumerate(images)
            if (owner == number).any()
        ]

    def _images(self, step: int) -> list[int]:
        count = len(self.images)
        first = step * self.config.batch_images
        chosen = []
        for place in range(first, first + self.config.batch_images):
            epoch, position = divmod(place, count)
            chosen.append(self.images[int(self._order(epoch)[position])])
        return chosen

    def _drawn_order(self, epoch: int) -> np.ndarray:
        return generator("teacher order", self.seed, epoch).permutation(len(self.images))

    def _lesson(self, index: int, rows: np.ndarray, step: int) -> Lesson:
        truth = take(self.dataset.instances(index), rows)
        masks = truth.masks()
        mark, box = self.kind.shown
        points = None if mark is None else self._marks(mark, truth, masks, step)
        return Lesson(
            int(self.dataset.image_ids[index]),
            tuple(torch.from_numpy(level) for level in self.embeddings.get(index)),
            self.frame.prompts(points, truth.boxes if box else None, truth.size),
            torch.from_numpy(masks.view(np.uint8)),
            torch.from_numpy(truth.class_indices.astype(np.int64)),
            torch.tensor(self.frame.extent(truth.size)),
        )

    def _marks(
        self, mark: AnnotationType, truth: Instances, masks: np.ndarray, step: int
    ) -> np.ndarray:
        """``(P, k, 2) float32`` points, drawn anew at every step."""
        draws = [
            generator(f"teacher {mark}", self.seed, step, int(n)) for n in truth.annotation_ids
        ]
        pairs = zip(masks, draws, strict=True)
        return np.array([MARKS[mark](mask, draw) for mask, draw in pairs])


def take(instances: Instances, rows: np.ndarray) -> Instances:
    """Some of an image's instances."""
    return instances._replace(
        annotation_ids=instances.annotation_ids[rows],
        class_indices=instances.class_indices[rows],
        boxes=instances.boxes[rows],
        areas=instances.areas[rows],
        is_crowd=instances.is_crowd[rows],
        rles=tuple(instances.rles[row] for row in rows.tolist()),
    )


def _visible(dataset: Dataset, index: int) -> np.ndarray:
    """``(P,)`` rows of the instances that have a pixel; crowds are left out."""
    rles = dataset.instances(index).rles
    return np.flatnonzero(mask_api.area(list(rles))) if rles else np.zeros(0, np.int64)
