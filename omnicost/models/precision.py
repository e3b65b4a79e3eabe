"""What must not be rounded to 16 bits, whatever the rest of a model runs in."""

from __future__ import annotations

import contextlib

import torch


def exact(device: torch.device) -> contextlib.AbstractContextManager:
    """No autocast inside: for coordinates and ratings, which cost nothing and need their digits.

    bf16 has 8 bits: a coordinate of a frame of 1,024 pixels would be off by up to 2, a rating by
    0.002, which ties masks that are not alike.
    """
    if not torch.amp.autocast_mode.is_autocast_available(device.type):
        return contextlib.nullcontext()
    return torch.autocast(device.type, enabled=False)
