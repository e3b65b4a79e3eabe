"""Which image gets which annotation: seeded and nested."""

from __future__ import annotations

import hashlib

import numpy as np


def assign(images: np.ndarray, seed: int = 0, held: np.ndarray | None = None) -> np.ndarray:
    """Strength of every image's annotation type: (N,) int8 from images per type (T,).

    A seeded permutation of the images is filled from the strongest type down, so that the masks of
    a plan stay masks in any plan of the same images and seed that has more of them.

    Args:
        images: images per type.
        seed: of the permutation.
        held: (N,) strength of the label that each image has already, 0 for none. It is kept or
            raised, never lowered; `images` must leave room for that, as a plan's do.
    """
    count = int(images.sum())
    key = hashlib.sha256(f"manifest:{seed}".encode()).digest()
    order = np.random.default_rng(int.from_bytes(key, "big")).permutation(count)
    labels = np.zeros(count, np.int8) if held is None else held.astype(np.int8)
    assigned = np.full(count, -1, dtype=np.int8)
    wanted = images.astype(np.int64).copy()
    for strength in range(1, len(images)):
        kept = order[labels[order] == strength][: wanted[strength]]
        assigned[kept] = strength
        wanted[strength] -= len(kept)
    for strength in range(len(images) - 1, -1, -1):
        # Of what is left, the strongest labels are raised first: only the slots above take them.
        free = order[assigned[order] < 0]
        free = free[np.argsort(-labels[free], kind="stable")]
        free = free[labels[free] <= strength][: wanted[strength]]
        assigned[free] = strength
    return assigned
