"""What a model is worth on held-out images, with an interval for how few they are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from scipy.stats import norm

from omnicost.data import Dataset
from omnicost.data.seeding import generator
from omnicost.models.students.student import Prediction
from omnicost.pipeline.evaluate import coco_metrics, predict
from omnicost.progress import Progress, silent

HALVES: Final = 40
LEVEL: Final = 0.8
LEAST_IMAGES: Final = 10  # fewer cannot be halved and mean anything


class HeldOutAp(NamedTuple):
    """AP on held-out images, percent; the interval is None where they are too few."""

    ap: float | None
    low: float | None
    high: float | None
    images: int
    instances: int


def score_held_out(
    dataset: Dataset, student: Path, device: str = "cpu", progress: Progress = silent
) -> HeldOutAp:
    """AP of a student on a set with masks, and its 80% interval over other such images.

    The variance is the delete-half jackknife's: that of AP over random halves of the images, which
    for halves needs no factor (Shao and Wu 1989). It holds for AP, which is no mean over images.
    """
    found = [prediction for _, prediction in predict(dataset, student, device, progress)]
    whole = _ap(dataset, found, np.arange(len(dataset)))
    instances = int((~dataset.columns.is_crowd).sum())
    if whole is None or len(dataset) < LEAST_IMAGES:
        return HeldOutAp(whole, None, None, len(dataset), instances)
    rng = generator("halves", len(dataset))
    halves = [rng.permutation(len(dataset))[: len(dataset) // 2] for _ in range(HALVES)]
    scores = [_ap(dataset, found, np.sort(half)) for half in halves]
    spread = float(np.std([each for each in scores if each is not None], ddof=1))
    width = float(norm.ppf((1 + LEVEL) / 2)) * spread
    low, high = max(0.0, whole - width), min(100.0, whole + width)
    return HeldOutAp(whole, low, high, len(dataset), instances)


def _ap(dataset: Dataset, found: Sequence[Prediction], indices: np.ndarray) -> float | None:
    part = dataset.take(indices)
    numbered = enumerate(found[index] for index in indices.tolist())
    ap: float | None = coco_metrics(part, numbered)["AP"]
    return ap
