"""SAM's input frame: pictures, points and boxes into it, mask logits back out of it.

The frame is a square of `side` pixels. A picture is scaled so that its longest side fills the
frame and padded at the right and at the bottom, exactly as in the `segment-anything` package.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

# RGB mean and standard deviation of `segment_anything/build_sam.py`, on the 0-255 scale.
PIXEL_MEAN: Final = (123.675, 116.28, 103.53)
PIXEL_STD: Final = (58.395, 57.12, 57.375)


@dataclass(frozen=True)
class Prompts:
    """P prompts in the input frame: a point, a box, or both for each."""

    points: torch.Tensor | None  # (P, 2) float32, x y as the reference counts: column, row
    boxes: torch.Tensor | None  # (P, 4) float32, x0 y0 x1 y1

    def __len__(self) -> int:
        return next((len(part) for part in self.parts if part is not None), 0)

    @property
    def parts(self) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """Points and boxes."""
        return self.points, self.boxes

    def take(self, rows: slice | torch.Tensor) -> Prompts:
        """Some of the prompts."""
        return Prompts(*(None if part is None else part[rows] for part in self.parts))

    def to(self, device: str | torch.device) -> Prompts:
        """The prompts on a device."""
        return Prompts(*(None if part is None else part.to(device) for part in self.parts))


def scaled_size(height: int, width: int, side: int) -> tuple[int, int]:
    """Height and width of a picture inside the frame."""
    scale = side / max(height, width)
    return int(height * scale + 0.5), int(width * scale + 0.5)


def to_prompts(
    points: np.ndarray | None, boxes: np.ndarray | None, size: tuple[int, int], side: int
) -> Prompts:
    """Prompts of a picture, moved into the frame.

    Args:
        points: ``(P, 2)`` x, y in picture pixels, pixel centres at ``column + 0.5``. The reference
            names a pixel by its column and row and adds the half itself, so the half is taken off.
        boxes: ``(P, 4)`` x0, y0, x1, y1 in picture pixels, passed on as the reference's callers do.
        size: height and width of the picture.
        side: of the frame.
    """
    height, width = scaled_size(*size, side)
    scale = np.array([width / size[1], height / size[0]], np.float32)
    return Prompts(
        None if points is None else torch.from_numpy((_rows(points, 2) - 0.5) * scale),
        None if boxes is None else torch.from_numpy(_rows(boxes, 4) * np.tile(scale, 2)),
    )


def join_prompts(parts: Sequence[Prompts]) -> Prompts:
    """Prompts of several pictures, one after the other."""
    columns = zip(*(prompts.parts for prompts in parts), strict=True)
    return Prompts(*(None if column[0] is None else torch.cat(column) for column in columns))


def pixel_values(images: Sequence[np.ndarray], side: int) -> torch.Tensor:
    """``(B, 3, side, side) float32`` input of the image encoder from ``(H, W, 3) uint8`` RGB."""
    batch = torch.zeros(len(images), 3, side, side)
    mean = torch.tensor(PIXEL_MEAN).view(3, 1, 1)
    std = torch.tensor(PIXEL_STD).view(3, 1, 1)
    for row, image in zip(batch, images, strict=True):
        height, width = scaled_size(image.shape[0], image.shape[1], side)
        picture = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
        pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)
        row[:, :height, :width] = (pixels - mean) / std
    return batch


def full_size_logits(logits: torch.Tensor, size: tuple[int, int], side: int) -> torch.Tensor:
    """``(P, H, W)`` logits of a picture of that size from ``(P, h, w)`` logits of the frame."""
    if not len(logits):
        return logits.new_zeros(0, *size)
    height, width = scaled_size(*size, side)
    framed = F.interpolate(logits[:, None], (side, side), mode="bilinear", align_corners=False)
    inside = framed[..., :height, :width]
    return F.interpolate(inside, size, mode="bilinear", align_corners=False)[:, 0]


def _rows(values: np.ndarray, width: int) -> np.ndarray:
    return np.asarray(values, np.float32).reshape(-1, width)
