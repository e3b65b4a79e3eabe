"""Where a tuning starts and what it is measured by: things that the paper leaves open."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from omnicost.data import Dataset
from omnicost.data.seeding import generator
from omnicost.pipeline.config import TeacherConfig
from omnicost.pipeline.teacher.prompting import Teacher


class Split(NamedTuple):
    """Labelled images, by index."""

    lessons: list[int]
    held_out: list[int]
    """Not trained on: they tell whether tuning helps. None where they could not tell."""


def split(dataset: Dataset, labelled: Sequence[int], config: TeacherConfig, seed: int) -> Split:
    """Hold out a share of the labelled images, if it has enough instances to tell by."""
    images = [int(index) for index in labelled]
    order = generator("teacher held out", seed).permutation(len(images))
    count = min(math.floor(config.held_out_share * len(images)), config.held_out_images)
    held_out = sorted(images[place] for place in order[:count].tolist())
    if instances(dataset, held_out) < config.held_out_instances:
        return Split(images, [])
    return Split(sorted(set(images) - set(held_out)), held_out)


def instances(dataset: Dataset, images: Sequence[int]) -> int:
    """How many instances some images hold; crowds are left out."""
    return sum(len(dataset.instances(index).annotation_ids) for index in images)


def paced(config: TeacherConfig, count: int) -> TeacherConfig:
    """The schedule for so many labelled instances: cooler where they are few.

    Both rates are in proportion to the instances up to `full_rate_instances`.
    """
    share = min(1.0, count / config.full_rate_instances)
    rates = {
        "learning_rate": config.learning_rate * share,
        "late_learning_rate": config.late_learning_rate * share,
    }
    return config.model_copy(update=rates)


def best_token(
    released: Teacher,
    images: Sequence[int],
    found: Callable[[Teacher, Sequence[int]], float | None],
) -> int:
    """The multi-mask token, from 0, whose masks on some images are best on average.

    Args:
        released: the weights before tuning.
        images: labelled ones.
        found: mean IoU of a teacher on images.
    """
    tokens = range(released.model.multimask_tokens)
    quality = [found(replace(released, token=token), images) or 0.0 for token in tokens]
    return int(np.argmax(quality))


class Verdict(NamedTuple):
    """Mean IoU on the held-out images, in [0, 1]; None where none were held out."""

    released: float | None
    tuned: float | None

    @property
    def tuning_helps(self) -> bool:
        """Whether the tuned weights serve; they do where nothing speaks against them."""
        return self.released is None or self.tuned is None or self.tuned >= self.released
