"""Step "assign": masks go to the images whose weak labels leave most to gain per second of drawing.

The paper's first idea for future work. Every image has its weak label first, the released teacher
draws on all of them, and rates what it drew. What it doubts, summed over an image's instances and
divided by the seconds that their masks are expected to take, is the order. The masks stop where the
seconds of a seeded draw of the same policy are spent, weak labels of masked images included: so
both ways cost the same.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import numpy as np

from omnicost.annotation import AnnotationType, Policy
from omnicost.cost.seconds import DEFAULT_TIMES, counts
from omnicost.data import Dataset
from omnicost.data.exports.merged import PseudoMasks, read_pseudomasks
from omnicost.data.splits import ASSIGNMENT, assign, permutation
from omnicost.data.weak import GIVEN
from omnicost.files import write_text

VERSION = 1  # raise when the same parameters give another output
_MASK: Final = AnnotationType.MASK.strength


def run(dataset: Dataset, policy: Policy, seed: int, pseudomasks: Path, *, out: Path) -> None:
    """Choose the images with masks and write `assignment.json`: their ids, and the seconds.

    Args:
        dataset: the training split, with the ground truth, whose counts the annotators are paid by.
        policy: masks and one weak type.
        seed: of the draw whose seconds are spent, and of the order where nothing is doubted.
        pseudomasks: the released teacher's on all images.
        out: folder to write into.
    """
    weak = policy.weak_types[0]
    paid = paid_seconds(dataset)
    strengths = assign(dataset, policy, seed)
    budget = float(paid[np.arange(len(dataset)), strengths].sum())
    further = extra_seconds(dataset, weak)
    order = by_gain_per_second(dataset, weak, read_pseudomasks([pseudomasks]), seed)
    left = budget - paid[:, weak.strength].sum()
    affordable = int((np.cumsum(further[order]) <= left).sum())
    masked = np.sort(order[: max(1, affordable)])
    spent = float(paid[:, weak.strength].sum() + further[masked].sum())
    told = {
        "masked": dataset.image_ids[masked].tolist(),
        "seconds": spent,
        "seconds_of_a_draw": budget,
        "masks_of_a_draw": int((strengths == _MASK).sum()),
    }
    write_text(out / ASSIGNMENT, json.dumps(told) + "\n")


def by_gain_per_second(
    dataset: Dataset, weak: AnnotationType, pseudo: PseudoMasks, seed: int
) -> np.ndarray:
    """``(I,)`` image indices, the most doubt per expected second first.

    Doubt is one less the score, and 1 for a labelled instance that no mask was drawn for.
    """
    place = {int(each): index for index, each in enumerate(dataset.image_ids)}
    rows = np.array([place[int(each)] for each in pseudo.image_ids], np.int64)
    doubt = np.bincount(rows, 1 - np.asarray(pseudo.scores, float), len(dataset))
    drawn = np.bincount(rows, minlength=len(dataset))
    if GIVEN[weak].of_instances:
        labelled = np.array([len(dataset.instances(i).rles) for i in range(len(dataset))])
        doubt += np.maximum(0, labelled - drawn)
        drawn = np.maximum(drawn, labelled)
    seconds = DEFAULT_TIMES.mask.seconds * np.maximum(1, drawn)
    order = permutation(dataset, seed)
    return order[np.argsort(-(doubt / seconds)[order], kind="stable")]


def paid_seconds(dataset: Dataset) -> np.ndarray:
    """``(I, T)`` seconds of each type on each image."""
    return _times_paid(dataset) @ DEFAULT_TIMES.constants()


def extra_seconds(dataset: Dataset, weak: AnnotationType) -> np.ndarray:
    """``(I,)`` seconds of masks on images that have the weak label: what both pay is paid once."""
    paid = _times_paid(dataset)
    shared = np.minimum(paid[:, weak.strength], paid[:, _MASK])
    return (paid[:, _MASK] - shared) @ DEFAULT_TIMES.constants()


def _times_paid(dataset: Dataset) -> np.ndarray:
    """``(I, T, C)`` how often each constant is paid on each image."""
    instances = [dataset.instances(index).class_indices for index in range(len(dataset))]
    present = np.array([len(np.unique(each)) for each in instances], float)
    return counts(len(dataset.class_names), present, np.array([len(e) for e in instances], float))
