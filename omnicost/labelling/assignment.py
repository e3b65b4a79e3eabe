"""Which image gets which annotation: seeded and nested, or masks in an order that is known."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from omnicost.errors import InputError
from omnicost.labelling.images import ImageList, read_table
from omnicost.plain_text import text_of_cell


def assign(
    images: np.ndarray,
    seed: int = 0,
    held: np.ndarray | None = None,
    masks_first: np.ndarray | None = None,
) -> np.ndarray:
    """Strength of every image's annotation type: (N,) int8 from images per type (T,).

    A seeded permutation of the images is filled from the strongest type down, so that the masks of
    a plan stay masks in any plan of the same images and seed that has more of them.

    Args:
        images: images per type.
        seed: of the permutation.
        held: (N,) strength of the label that each image has already, 0 for none. It is kept or
            raised, never lowered; `images` must leave room for that, as a plan's do.
        masks_first: (N,) place of each image in the order in which new masks are given, instead
            of the permutation's.
    """
    count = int(images.sum())
    key = hashlib.sha256(f"manifest:{seed}".encode()).digest()
    order = np.random.default_rng(int.from_bytes(key, "big")).permutation(count)
    labels = np.zeros(count, np.int8) if held is None else held.astype(np.int8)
    assigned = np.full(count, -1, dtype=np.int8)
    wanted = images.astype(np.int64).copy()
    if masks_first is not None:
        _give_masks(assigned, wanted, labels, np.argsort(masks_first, kind="stable"))
    for strength in range(1, len(images)):
        kept = order[(labels[order] == strength) & (assigned[order] < 0)][: wanted[strength]]
        assigned[kept] = strength
        wanted[strength] -= len(kept)
    for strength in range(len(images) - 1, -1, -1):
        # Of what is left, the strongest labels are raised first: only the slots above take them.
        free = order[assigned[order] < 0]
        free = free[np.argsort(-labels[free], kind="stable")]
        free = free[labels[free] <= strength][: wanted[strength]]
        assigned[free] = strength
    return assigned


def _give_masks(
    assigned: np.ndarray, wanted: np.ndarray, labels: np.ndarray, order: np.ndarray
) -> None:
    """Give all masks: to those that have one, and to the first of the order."""
    top = len(wanted) - 1
    kept = order[labels[order] == top]
    assigned[kept] = top
    wanted[top] -= len(kept)
    free = order[labels[order] < top]
    assigned[_raised_to_masks(free, labels[free], wanted)] = top
    wanted[top] = 0


def _raised_to_masks(free: np.ndarray, labels: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Those of the free images that get masks, by their order, as far as all labels keep a place.

    Args:
        free: images, the first to get a mask first.
        labels: the strength that each has.
        wanted: images per type that are still to be found, masks last.
    """
    is_chosen = np.zeros(len(free), bool)
    for strength in range(len(wanted) - 2, -1, -1):
        # As many labels of this strength or more as have no place below the masks must be raised;
        # at strength 0 these are all masks that are left.
        pool = np.flatnonzero(labels >= strength)
        lacking = len(pool) - int(wanted[strength:-1].sum()) - int(is_chosen.sum())
        open_ = pool[~is_chosen[pool]]
        is_chosen[open_[: max(0, lacking)]] = True
    return free[is_chosen]


def read_masks_first(path: Path, images: ImageList) -> np.ndarray:
    """Place of each image in the order of a table, those that it does not name last: (N,) int64.

    Args:
        path: with a column `file_name`, the first to get a mask first; as review.csv of
            `omnicost review`.
        images: the project's images.

    Raises:
        InputError: if it cannot be used, or names images that the project does not have.
    """
    if images.names is None:
        raise InputError(path, "names images", "give `images`, a folder or a COCO-format file")
    rows = read_table(path, "file_name", "give review.csv of omnicost review")
    named = [text_of_cell(row.get("file_name") or "") for row in rows]
    known = images.places(named, path)
    places = np.full(images.count, len(named), np.int64)
    for rank, name in enumerate(named):
        places[known[name]] = min(places[known[name]], rank)
    return places
