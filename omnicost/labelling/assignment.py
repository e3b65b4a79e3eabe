"""Which image gets which annotation: seeded and nested."""

from __future__ import annotations

import hashlib

import numpy as np


def assign(images: np.ndarray, seed: int = 0) -> np.ndarray:
    """Strength of every image's annotation type: (N,) int8 from images per type (5,).

    A seeded permutation of the images is filled from the strongest type down, so that the masks of
    a plan stay masks in any plan of the same images and seed that has more of them.
    """
    key = hashlib.sha256(f"manifest:{seed}".encode()).digest()
    order = np.random.default_rng(int.from_bytes(key, "big")).permutation(int(images.sum()))
    strengths = np.repeat(np.arange(len(images) - 1, -1, -1, dtype=np.int8), images[::-1])
    assigned = np.empty(len(order), dtype=np.int8)
    assigned[order] = strengths
    return assigned
