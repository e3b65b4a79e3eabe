"""Random views of a picture and its masks for the student: scale, crop, flip, colour.

All draws come from one generator a view, so a view depends on its seed and nothing else. Masks come
as patches, so that those outside the window cost nothing and the others no more than they cover.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from PIL import Image

from omnicost.pipeline.student.config import AugmentConfig

PADDING: Final = 128  # detectron2's grey


class Patch(NamedTuple):
    """A mask, cut to a box that holds all of it."""

    top: int
    left: int
    pixels: np.ndarray  # (h, w) uint8, 0 or 1


class Picture(NamedTuple):
    """A picture with N labelled instances."""

    image: np.ndarray  # (H, W, 3) uint8 RGB
    patches: tuple[Patch, ...]  # N
    classes: np.ndarray  # (N,) int64
    weights: np.ndarray  # (N,) float32
    exponents: np.ndarray | None = None  # (N,) float32


class Sample(NamedTuple):
    """A view of a picture, with the N instances that it shows."""

    image: np.ndarray  # (H, W, 3) uint8 RGB
    masks: np.ndarray  # (N, H, W) uint8, 0 or 1
    classes: np.ndarray  # (N,) int64
    weights: np.ndarray  # (N,) float32
    exponents: np.ndarray | None = None  # (N,) float32


class View(NamedTuple):
    """Which part of the picture, at which scale: scaled to `scaled`, then cut to `window`."""

    scaled: tuple[int, int]  # height, width of the whole picture
    top: int
    left: int
    window: tuple[int, int]  # height, width, at most the crop and at most `scaled`
    flip: bool


def augment(picture: Picture, config: AugmentConfig, rng: np.random.Generator) -> Sample:
    """A random view of the crop's size; instances that left it are gone."""
    size = picture.image.shape[:2]
    view = draw_view(size, config, rng)
    image = cut_image(picture.image, view)
    if config.colour:
        image = jitter_colour(image, rng)
    seen, masks = cut_masks(picture.patches, size, view, config.crop)
    return Sample(
        padded(image, config.crop, PADDING),
        masks,
        picture.classes[seen],
        picture.weights[seen],
        None if picture.exponents is None else picture.exponents[seen],
    )


def draw_view(size: tuple[int, int], config: AugmentConfig, rng: np.random.Generator) -> View:
    """A random view of a picture of that height and width."""
    scaled = _scaled(size, config, rng)
    window = (min(scaled[0], config.crop[0]), min(scaled[1], config.crop[1]))
    top, left = (
        int(rng.integers(whole - part + 1)) for whole, part in zip(scaled, window, strict=True)
    )
    return View(scaled, top, left, window, bool(rng.random() < config.flip))


def _scaled(
    size: tuple[int, int], config: AugmentConfig, rng: np.random.Generator
) -> tuple[int, int]:
    height, width = size
    if config.jitter is not None:
        fit = min(config.crop[0] / height, config.crop[1] / width)
        scale = fit * rng.uniform(*config.jitter)
    else:
        edge = config.short_edges[rng.integers(len(config.short_edges))]
        scale = min(edge / min(size), config.long_edge / max(size))
    return max(1, round(height * scale)), max(1, round(width * scale))


def cut_image(image: np.ndarray, view: View) -> np.ndarray:
    """The view of an ``(H, W, 3)`` picture; only the pixels inside the window are computed."""
    down = image.shape[0] / view.scaled[0]
    across = image.shape[1] / view.scaled[1]
    height, width = view.window
    box = (
        view.left * across,
        view.top * down,
        min(image.shape[1], (view.left + width) * across),
        min(image.shape[0], (view.top + height) * down),
    )
    cut = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR, box=box)
    pixels = np.asarray(cut)
    return pixels[:, ::-1] if view.flip else pixels


def cut_masks(
    patches: Sequence[Patch], size: tuple[int, int], view: View, crop: tuple[int, int]
) -> tuple[list[int], np.ndarray]:
    """The view of N masks of a picture of that size: the nearest pixel of each.

    Returns:
        Which of them show, and these as ``(M, *crop) uint8``, the view in the top left.
    """
    rows = _nearest(view.top, view.window[0], size[0], view.scaled[0])
    columns = _nearest(view.left, view.window[1], size[1], view.scaled[1])
    shown = [_shown(patch, rows, columns) for patch in patches]
    seen = [place for place, part in enumerate(shown) if part is not None]
    masks = np.zeros((len(seen), *crop), np.uint8)
    for mask, (top, left, pixels) in zip(masks, filter(None, shown), strict=True):
        if view.flip:
            left, pixels = view.window[1] - left - pixels.shape[1], pixels[:, ::-1]
        mask[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
    return seen, masks


def _shown(patch: Patch, rows: np.ndarray, columns: np.ndarray) -> Patch | None:
    """The part of a patch in a view that shows these ascending rows and columns of the picture."""
    height, width = patch.pixels.shape
    top, bottom = rows.searchsorted((patch.top, patch.top + height))
    left, right = columns.searchsorted((patch.left, patch.left + width))
    if top == bottom or left == right:
        return None
    whole_rows = patch.pixels[rows[top:bottom] - patch.top]
    pixels = whole_rows[:, columns[left:right] - patch.left]
    return Patch(int(top), int(left), pixels) if pixels.any() else None


def _nearest(start: int, count: int, source: int, scaled: int) -> np.ndarray:
    places = ((np.arange(start, start + count) + 0.5) * (source / scaled)).astype(np.int64)
    return np.minimum(places, source - 1)


def padded(pixels: np.ndarray, size: tuple[int, int], value: int) -> np.ndarray:
    """An ``(H, W, C)`` array in the top left of a larger one."""
    if pixels.shape[:2] == tuple(size):
        return pixels
    whole = np.full((*size, pixels.shape[2]), value, pixels.dtype)
    whole[: pixels.shape[0], : pixels.shape[1]] = pixels
    return whole


def jitter_colour(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """SSD's photometric distortion, as detectron2 applies it: each part with probability a half.

    Brightness +-32, contrast and saturation 0.5 to 1.5, hue +-36 degrees; contrast before or
    after saturation and hue.
    """
    pixels = image.astype(np.float32)
    if rng.random() < 0.5:
        pixels += rng.uniform(-32, 32)
    contrast_first = rng.random() < 0.5
    contrast = rng.uniform(0.5, 1.5) if rng.random() < 0.5 else 1.0
    saturation = rng.uniform(0.5, 1.5) if rng.random() < 0.5 else 1.0
    hue_degrees = rng.uniform(-36, 36) if rng.random() < 0.5 else 0.0
    if contrast_first:
        pixels *= contrast
    pixels = _shift_hsv(_bytes(pixels), saturation, hue_degrees).astype(np.float32)
    if not contrast_first:
        pixels *= contrast
    return _bytes(pixels)


def _shift_hsv(image: np.ndarray, saturation: float, hue_degrees: float) -> np.ndarray:
    if saturation == 1.0 and hue_degrees == 0.0:
        return image
    hsv = np.array(Image.fromarray(image).convert("HSV"))
    hsv[..., 0] += np.uint8(round(hue_degrees / 360 * 256) % 256)  # a byte wraps as the hue does
    hsv[..., 1] = _bytes(hsv[..., 1] * np.float32(saturation))
    return np.asarray(Image.fromarray(hsv, "HSV").convert("RGB"))


def _bytes(values: np.ndarray) -> np.ndarray:
    return values.clip(0, 255).astype(np.uint8)
