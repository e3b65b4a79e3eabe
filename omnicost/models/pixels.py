"""How every released model that sees pictures here wants its pixels."""

from __future__ import annotations

from typing import Final

# RGB mean and standard deviation of ImageNet on the 0-255 scale: of `segment_anything`'s
# build_sam.py, of SAM 2, and of what backbones are trained with.
PIXEL_MEAN: Final = (123.675, 116.28, 103.53)
PIXEL_STD: Final = (58.395, 57.12, 57.375)
