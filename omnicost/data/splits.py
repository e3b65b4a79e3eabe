"""Which images get which annotation: nested, seeded."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Final

import numpy as np

from omnicost.annotation import AnnotationType, Policy
from omnicost.data.dataset import Dataset
from omnicost.data.given_labels import given_assignment
from omnicost.data.seeding import generator
from omnicost.errors import InputError

ASSIGNMENT: Final = "assignment.json"


def permutation(dataset: Dataset, seed: int) -> np.ndarray:
    """``(I,) int64`` image indices, the first to be labelled first; depends on I and seed only."""
    return generator("split", seed).permutation(len(dataset))


def assign(dataset: Dataset, policy: Policy, seed: int, chosen: Path | None = None) -> np.ndarray:
    """The annotation type of each image, as ``(I,) int8`` `AnnotationType` strengths.

    The strongest types take the head of the permutation, so the masks of 1% are inside those
    of 10%, whatever the rest is labelled with. Shares are rounded to whole images over the
    running total; a mask share above 0 gets at least one image. Of a set with given labels it is
    what was given, whatever the seed.

    Args:
        chosen: folder of the assign step; then its images have the masks, and all others the
            policy's weak type.

    Raises:
        InputError: if the data set has no image, or given labels that are not this policy's.
    """
    if dataset.given is not None:
        return given_assignment(dataset, policy)
    weakest = next(iter(policy))
    if chosen is not None:
        strengths = np.full(len(dataset), weakest.strength, np.int8)
        strengths[chosen_images(dataset, chosen)] = AnnotationType.MASK.strength
        return strengths
    count = len(dataset)
    if not count:
        raise InputError(f"{dataset.name} {dataset.split}", "has no image", "give it pictures")
    strengths = np.empty(count, np.int8)
    order = permutation(dataset, seed)
    start, share = 0, 0.0
    for annotation in reversed(AnnotationType):
        share = math.fsum((share, policy[annotation]))
        least = 1 if annotation is AnnotationType.MASK and policy.mask_share > 0 else start
        end = max(least, min(count, math.floor(share * count + 0.5)))
        strengths[order[start:end]] = annotation.strength
        start = end
    strengths[order[start:]] = weakest.strength  # shares may fall 1e-9 short of 1
    return strengths


def masked_images(dataset: Dataset, share: float, seed: int) -> np.ndarray:
    """Indices of the images with masks, ascending: the same whatever labels the rest."""
    if dataset.given is not None:
        return np.flatnonzero(dataset.given == AnnotationType.MASK.strength)
    strengths = assign(dataset, Policy.cell(AnnotationType.NONE, share), seed)
    return np.flatnonzero(strengths == AnnotationType.MASK.strength)


def chosen_images(dataset: Dataset, folder: Path) -> np.ndarray:
    """Indices, ascending, of the images that the assign step chose for masks.

    Raises:
        InputError: if it left no choice there.
    """
    path = folder / ASSIGNMENT
    try:
        masked = json.loads(path.read_text())["masked"]
    except (OSError, ValueError, KeyError):
        raise InputError(path, "no assignment can be read", "run its sweep again") from None
    return np.sort(np.array([dataset.index_of(int(each)) for each in masked], np.int64))
