"""A model's input frame: pictures, points and boxes into it, mask logits back out of it.

The frame is a square of `side` pixels. SAM scales a picture so that its longest side fills the
frame and pads it at the right and at the bottom, exactly as in the `segment-anything` package;
SAM 2 stretches both sides to fill it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from omnicost.models.pixels import PIXEL_MEAN, PIXEL_STD

# Labels of points, as all of SAM's family count them; 0 is a point that is not on the object.
POSITIVE: Final = 1
NO_POINT: Final = -1  # where another prompt of the batch has more points


@dataclass(frozen=True)
class Prompts:
    """P prompts in the input frame: k points, a box, both or neither for each.

    Prompts without points and box are `points` of ``(P, 0, 2)``: nothing but a class.
    """

    points: torch.Tensor | None  # (P, k, 2) float32, x y as the reference counts: column, row
    labels: torch.Tensor | None  # (P, k) int64: POSITIVE, 0 or NO_POINT
    boxes: torch.Tensor | None  # (P, 4) float32, x0 y0 x1 y1

    def __len__(self) -> int:
        return next((len(part) for part in self.parts if part is not None), 0)

    @property
    def parts(self) -> tuple[torch.Tensor | None, torch.Tensor | None, torch.Tensor | None]:
        """Points, labels and boxes."""
        return self.points, self.labels, self.boxes

    def take(self, rows: slice | torch.Tensor) -> Prompts:
        """Some of the prompts."""
        return Prompts(*(None if part is None else part[rows] for part in self.parts))

    def to(self, device: str | torch.device) -> Prompts:
        """The prompts on a device."""
        return Prompts(*(None if part is None else part.to(device) for part in self.parts))


def join_prompts(parts: Sequence[Prompts]) -> Prompts:
    """Prompts of several pictures, one after the other; fewer points are padded."""
    most = max((part.points.shape[1] for part in parts if part.points is not None), default=0)
    columns = zip(*(_padded(part, most).parts for part in parts), strict=True)
    return Prompts(*(None if column[0] is None else torch.cat(column) for column in columns))


def _padded(prompts: Prompts, count: int) -> Prompts:
    if prompts.points is None or prompts.labels is None:
        return prompts
    lacking = count - prompts.points.shape[1]
    points = F.pad(prompts.points, (0, 0, 0, lacking))
    return Prompts(points, F.pad(prompts.labels, (0, lacking), value=NO_POINT), prompts.boxes)


@dataclass(frozen=True)
class Frame:
    """The square that a model sees.

    Args:
        side: in pixels.
        stretched: whether a picture's both sides fill it, or only the longest.
    """

    side: int
    stretched: bool = False

    def size_of(self, size: tuple[int, int]) -> tuple[int, int]:
        """Height and width inside the frame of a picture of that height and width."""
        if self.stretched:
            return self.side, self.side
        scale = self.side / max(size)
        return int(size[0] * scale + 0.5), int(size[1] * scale + 0.5)

    def extent(self, size: tuple[int, int]) -> tuple[float, float]:
        """Width and height of a picture in shares of the frame."""
        height, width = self.size_of(size)
        return width / self.side, height / self.side

    def pixel_values(self, images: Sequence[np.ndarray]) -> torch.Tensor:
        """``(B, 3, side, side) float32`` encoder input from ``(H, W, 3) uint8`` RGB."""
        batch = torch.zeros(len(images), 3, self.side, self.side)
        mean = torch.tensor(PIXEL_MEAN).view(3, 1, 1)
        std = torch.tensor(PIXEL_STD).view(3, 1, 1)
        for row, image in zip(batch, images, strict=True):
            height, width = self.size_of(image.shape[:2])
            picture = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
            pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)
            row[:, :height, :width] = (pixels - mean) / std
        return batch

    def prompts(
        self,
        points: np.ndarray | None,
        boxes: np.ndarray | None,
        size: tuple[int, int],
    ) -> Prompts:
        """Prompts of a picture, moved into the frame; points are positive.

        Args:
            points: ``(P, k, 2)`` x, y in picture pixels, pixel centres at ``column + 0.5``, or
                ``(P, 2)``, one a prompt. The reference names a pixel by its column and row and adds
                the half itself, so the half is taken off.
            boxes: ``(P, 4)`` x0, y0, x1, y1 in picture pixels, passed on as the reference's callers
                do.
            size: height and width of the picture.
        """
        height, width = self.size_of(size)
        scale = np.array([width / size[1], height / size[0]], np.float32)
        moved = None
        if boxes is not None:
            corners = np.asarray(boxes, np.float32).reshape(-1, 4)
            moved = torch.from_numpy(corners * np.tile(scale, 2))
        if points is None:
            return Prompts(None, None, moved)
        many = np.asarray(points, np.float32)
        many = many[:, None] if many.ndim == 2 else many
        labels = torch.full(many.shape[:2], POSITIVE)
        return Prompts(torch.from_numpy((many - 0.5) * scale), labels, moved)

    def full_size_logits(self, logits: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        """``(P, H, W)`` logits of a picture of that size from ``(P, h, w)`` logits of the frame."""
        if not len(logits):
            return logits.new_zeros(0, *size)
        framed = logits[:, None]
        if not self.stretched:  # to the pixels of the frame first, as the reference does
            height, width = self.size_of(size)
            framed = _resized(framed, (self.side, self.side))[..., :height, :width]
        return _resized(framed, size)[:, 0]


def _resized(logits: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    return F.interpolate(logits, size, mode="bilinear", align_corners=False)
