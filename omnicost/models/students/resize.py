"""Pictures to the size a student predicts at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from omnicost.models.students.settings import InferenceSize

MAX_BATCH_PIXELS = 1 << 20  # about one COCO picture at test size, or 256 tiny ones
PADDING = 128  # detectron2's grey, near the mean of ImageNet


class Inner(NamedTuple):
    """Where the picture is in what the network saw: top left, the rest is padding."""

    padded: tuple[int, int]  # height, width
    inner: tuple[int, int]  # height, width


class SizedBatch(NamedTuple):
    """Pictures that have one size once they are resized."""

    pixels: torch.Tensor  # (B, 3, H, W) uint8
    inner: Inner
    sizes: tuple[tuple[int, int], ...]  # height, width of the pictures themselves


def shape_at(size: tuple[int, int], rule: InferenceSize) -> tuple[int, int]:
    """Height and width at which a picture of that size is looked at."""
    height, width = size
    if rule.short_edge is None:
        return size
    scale = min(rule.short_edge / min(size), rule.long_edge / max(size))
    return max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))


def same_size_batches(
    images: Sequence[np.ndarray], rule: InferenceSize, stride: int
) -> Iterator[SizedBatch]:
    """The pictures in order, neighbours of one size together, padded to a multiple of stride.

    A picture is only padded for itself, so its prediction does not depend on its neighbours.
    """
    for inner, group in groupby(images, lambda image: shape_at(image.shape[:2], rule)):
        members = list(group)
        padded = tuple(-(-edge // stride) * stride for edge in inner)
        step = max(1, MAX_BATCH_PIXELS // (padded[0] * padded[1]))
        for start in range(0, len(members), step):
            chunk = members[start : start + step]
            pixels = np.full((len(chunk), *padded, 3), PADDING, np.uint8)
            for place, image in zip(pixels, chunk, strict=True):
                place[: inner[0], : inner[1]] = resized(image, inner)
            yield SizedBatch(
                torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(),
                Inner(padded, inner),  # type: ignore[arg-type]
                tuple(image.shape[:2] for image in chunk),
            )


def resized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An ``(H, W, 3) uint8`` picture at another size, bilinear with antialiasing."""
    if image.shape[:2] == size:
        return image
    height, width = size
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))
