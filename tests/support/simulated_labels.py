"""A set with masks throughout as if people had labelled it by a policy: a set with given labels."""

from __future__ import annotations

import numpy as np

from omnicost.annotation import PAPER_TYPES, AnnotationType, Policy
from omnicost.data.columns import Columns, offsets
from omnicost.data.dataset import Dataset
from omnicost.data.rle import empty
from omnicost.data.splits import assign
from omnicost.data.weak import PERFECT, AnnotatorNoise, weak_label
from omnicost.errors import InputError


def simulate_labels(
    dataset: Dataset, policy: Policy, seed: int = 0, noise: AnnotatorNoise = PERFECT
) -> Dataset:
    """The labels that a cell of that policy and seed learns from, and nothing more.

    Its weak labels and its assignment are the cell's. Crowds stay with masks only.

    Raises:
        InputError: as `splits.assign`; if a type is none that a set with given labels can hold.
    """
    others = [kind for kind in policy if kind not in PAPER_TYPES]
    if others:
        problem = f"no set with given labels holds {', '.join(others)}"
        raise InputError("policy", problem, f"use {', '.join(PAPER_TYPES)}")
    strengths = assign(dataset, policy, seed)
    kinds = tuple(AnnotationType)
    parts = [
        _image(dataset, index, kinds[strength], noise, seed)
        for index, strength in enumerate(strengths.tolist())
    ]
    joined = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("annotation_ids", "class_indices", "boxes", "areas", "is_crowd", "rle_bytes")
    }
    counts = np.array([len(part.annotation_ids) for part in parts], np.int64)
    lengths = np.concatenate([np.diff(part.rle_offsets) for part in parts])
    columns = dataset.columns._replace(
        **joined,
        first_annotation=offsets(counts),
        rle_offsets=offsets(lengths),
        given=strengths,
        points=np.concatenate([part.points for part in parts if part.points is not None]),
    )
    return Dataset(dataset.name, dataset.split, dataset.header, columns, dataset.picture_folder)


def _image(
    dataset: Dataset, index: int, kind: AnnotationType, noise: AnnotatorNoise, seed: int
) -> Columns:
    """The columns of one image under its type."""
    own = dataset.columns.take(np.array([index]))
    if kind is AnnotationType.MASK:
        return own._replace(points=np.full((len(own.annotation_ids), 2), np.nan, np.float32))
    label = weak_label(dataset, index, kind, noise, seed)
    count = len(label.class_indices)
    # A tag has no instance; its id is that of one of its class.
    first = {int(each): n for n, each in reversed(list(enumerate(own.class_indices.tolist())))}
    ids = np.where(
        label.annotation_ids < 0,
        [int(own.annotation_ids[first[each]]) if each in first else -1 - each
         for each in label.class_indices.tolist()],
        label.annotation_ids,
    ) if count else label.annotation_ids  # fmt: skip
    points = np.full((count, 2), np.nan, np.float32)
    boxes = np.zeros((count, 4), np.float32)
    if label.points is not None:
        points = label.points.mean(axis=1)
        boxes = np.tile(points, 2)
    if label.boxes is not None:
        boxes = label.boxes
    nothing = empty(*dataset.sizes[index].tolist())
    return own._replace(
        annotation_ids=ids.astype(np.int64),
        class_indices=label.class_indices.astype(np.int64),
        boxes=boxes,
        areas=(boxes[:, 2:] - boxes[:, :2]).prod(axis=1).astype(np.float64),
        is_crowd=np.zeros(count, bool),
        rle_offsets=offsets(np.full(count, len(nothing), np.int64)),
        rle_bytes=np.frombuffer(nothing * count, np.uint8),
        points=points,
    )
