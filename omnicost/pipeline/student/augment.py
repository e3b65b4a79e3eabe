"""Random views of a picture and its masks for the student: scale, crop, flip, colour.

All draws come from one generator a view, so a view depends on its seed and nothing else.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from PIL import Image

from omnicost.pipeline.student.config import AugmentConfig

PADDING: Final = 128  # detectron2's grey


class Sample(NamedTuple):
    """A picture with N labelled instances."""

    image: np.ndarray  # (H, W, 3) uint8 RGB
    masks: np.ndarray  # (N, H, W) uint8, 0 or 1
    classes: np.ndarray  # (N,) int64
    weights: np.ndarray  # (N,) float32


class View(NamedTuple):
    """Which part of the picture, at which scale: scaled to `scaled`, then cut to `window`."""

    scaled: tuple[int, int]  # height, width of the whole picture
    top: int
    left: int
    window: tuple[int, int]  # height, width, at most the crop and at most `scaled`
    flip: bool


def augment(sample: Sample, config: AugmentConfig, rng: np.random.Generator) -> Sample:
    """A random view of the crop's size; instances that left it are gone."""
    view = draw_view(sample.image.shape[:2], config, rng)
    image = cut_image(sample.image, view)
    if config.colour:
        image = jitter_colour(image, rng)
    masks = cut_masks(sample.masks, view)
    seen = masks.any((1, 2))
    return Sample(
        padded(image, config.crop, PADDING),
        padded(masks[seen].transpose(1, 2, 0), config.crop, 0).transpose(2, 0, 1),
        sample.classes[seen],
        sample.weights[seen],
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


def cut_masks(masks: np.ndarray, view: View) -> np.ndarray:
    """The view of ``(N, H, W)`` masks: the nearest pixel of each."""
    rows = _nearest(view.top, view.window[0], masks.shape[1], view.scaled[0])
    columns = _nearest(view.left, view.window[1], masks.shape[2], view.scaled[1])
    if view.flip:
        columns = columns[::-1]
    return masks[:, rows[:, None], columns]


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
