"""Batches for the recipes: scenes of a tiny world, their boxes, and crops around objects."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from omnicost.data.seeding import generator
from omnicost.data.tiny.world import SPECS, Scene, render

DATASETS = ("tiny-coco", "tiny-ade20k", "tiny-cityscapes")
WEB = "tiny-web"
POOL = 20_000  # training pictures of tiny-web; drawing one takes longer than learning from it
# ImageNet's, as in microsoft/resnet-50 and IDEA-Research/grounding-dino-tiny.
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


class _Packed(NamedTuple):
    """A scene without its segments, its masks as bits: 15 kB."""

    image: NDArray[np.uint8]
    class_indices: NDArray[np.int64]
    mask_bits: NDArray[np.uint8]


def web_scenes(recipe: str, step: int, count: int) -> list[Scene]:
    """The ``count`` training scenes of a step of ``recipe``, without segments.

    Scenes in which nothing is labelled are left out, so there may be fewer.
    """
    picked = generator("tiny", recipe, "pictures", step).integers(POOL, size=count)
    drawn = (_unpacked(_web_scene(int(index))) for index in picked)
    return [scene for scene in drawn if len(scene.class_indices)]


@lru_cache(maxsize=POOL)
def _web_scene(index: int) -> _Packed:
    scene = render(SPECS[WEB], "train", index)
    return _Packed(scene.image, scene.class_indices, np.packbits(scene.masks, axis=2))


def _unpacked(packed: _Packed) -> Scene:
    masks = np.unpackbits(packed.mask_bits, axis=2).astype(bool)
    return Scene(packed.image, packed.class_indices, masks, masks[:0], masks[:0])


@lru_cache(maxsize=8)
def scenes(name: str, split: str, indices: range) -> list[Scene]:
    """Scenes ``indices`` of a split of the world ``name``, but for those with nothing labelled."""
    drawn = (render(SPECS[name], split, index) for index in indices)
    return [scene for scene in drawn if len(scene.class_indices)]


def tight_boxes(masks: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Boxes ``(N, 4)`` x0 y0 x1 y1 of ``masks (N, H, W)``, none of them empty."""
    edges = []
    for axis in (1, 2):
        line = np.asarray(masks.any(axis=axis))
        edges += [line.argmax(1), line.shape[1] - line[:, ::-1].argmax(1)]
    return np.stack([edges[0], edges[2], edges[1], edges[3]], axis=1).astype(np.float32)


def crop(
    image: NDArray[np.uint8],
    box: NDArray[np.float32],
    side: int,
    margin: float,
) -> NDArray[np.uint8]:
    """The square around ``box``, resized to ``(side, side, 3)``.

    The square is wider than the box's longer side by ``margin`` of it, and shifted to lie inside
    the picture.
    """
    height, width = image.shape[:2]
    length = min(float((box[2:] - box[:2]).max()) * (1 + margin), height, width)
    x = float(np.clip(box[0::2].mean() - length / 2, 0, width - length))
    y = float(np.clip(box[1::2].mean() - length / 2, 0, height - length))
    picture = Image.fromarray(image)
    resized = picture.resize(
        (side, side), Image.Resampling.BILINEAR, box=(x, y, x + length, y + length)
    )
    return np.asarray(resized)


def to_pixel_values(images: NDArray[np.uint8], mean: list[float], std: list[float]) -> Tensor:
    """``(B, H, W, 3) uint8`` to normalised ``(B, 3, H, W) float32``, as image processors do."""
    values = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    return (values - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
