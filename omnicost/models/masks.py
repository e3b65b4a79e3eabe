"""Masks from the device that drew them to run-length codes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from omnicost.data import rle


def fetch(masks: torch.Tensor) -> np.ndarray:
    """``(N, H, W) bool`` masks from their device; a GPU turns them for codes, which go by column.

    A processor does not: turning takes it longer than codes of rows.
    """
    if masks.device.type == "cpu":
        return masks.numpy()
    return masks.transpose(1, 2).contiguous().cpu().numpy().transpose(0, 2, 1)


def encode(masks: torch.Tensor) -> list[dict[str, Any]]:
    """Compressed COCO RLEs of ``(N, H, W) bool`` masks on any device."""
    return rle.encode(fetch(masks))
