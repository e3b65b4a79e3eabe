"""How large a promptable model is, by its config alone: for prices before anything is loaded."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from omnicost.errors import OmnicostError
from omnicost.models.loading import resolve
from omnicost.models.teachers.frame import Prompts
from omnicost.models.teachers.teacher import GPU_PROMPTS, Promptable, class_of


class Size(NamedTuple):
    """What a picture and a prompt cost.

    Args:
        parameters: of the image encoder.
        encode_macs: multiply-adds that encode a picture.
        decode_macs: multiply-adds that draw a prompt.
        cached_numbers: that a cache holds of a picture.
        largest_tensor: numbers in the largest tensor while a picture is encoded.
    """

    parameters: float
    encode_macs: float
    decode_macs: float
    cached_numbers: int
    largest_tensor: float


def size_of(spec: str) -> Size | None:
    """What pictures and prompts cost a model, by its config; None if it is not on this machine."""
    try:
        path = resolve(spec, "sam")
        found = class_of(path)
        config = found.config_of(path)
        with torch.device("meta"):  # shapes without numbers: nothing is held or computed
            return _measured(found.untrained(config))
    except (OmnicostError, OSError, RuntimeError, ValueError):
        return None  # loading it will say what it lacks


def _measured(model: Promptable) -> Size:
    """The size of a model on the meta device; what a picture's prompts share is split up."""
    model.eval().requires_grad_(False)  # torch's counter fails where one is wanted and switched off
    head, side = model.head().requires_grad_(False), model.frame.side
    pixels = torch.empty(1, 3, side, side)
    features = tuple(torch.empty(1, *level) for level in model.levels)
    boxes = Prompts(None, None, torch.empty(GPU_PROMPTS, 4))
    return Size(
        parameters=sum(each.numel() for each in model.image_encoder.parameters()),
        encode_macs=_macs(lambda: model.encode(pixels)),
        decode_macs=_macs(lambda: head(features, None, boxes)) / GPU_PROMPTS,
        cached_numbers=sum(math.prod(level) for level in model.levels),
        largest_tensor=model.largest_tensor,
    )


def _macs(run: Callable[[], object]) -> float:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops() / 2  # torch counts a multiply-add as two
