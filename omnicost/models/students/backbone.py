"""What a student's backbone is, before any student."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch

STAGES = [1, 2, 3, 4]  # of a backbone, at strides 4, 8, 16 and 32


class Backbone(NamedTuple):
    """A transformers backbone: its config, and its weights unless a file brings them later."""

    config: Any  # transformers.PretrainedConfig of an AutoBackbone
    weights: Mapping[str, torch.Tensor] | None = None
