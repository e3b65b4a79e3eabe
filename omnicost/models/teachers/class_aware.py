"""Eq. 1-2 of the paper: a class beside a geometric prompt, for any encoder of prompt tokens."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import nn

Encode = Callable[[nn.Module], torch.Tensor]  # a prompt encoder to its (P, T, C) tokens


class ClassBranch(nn.Module):
    """What class-awareness adds to a model's prompt encoder.

    With the locked and the trained copy of the prompt encoder, ``F_locked`` and ``F_train``::

        Z_text = F_train(P_geom) + proj(CLIP_text(P_cls))         (Eq. 1)
        Z      = F_locked(P_geom) + zero(Z_text)                  (Eq. 2)

    ``zero`` is a linear layer whose weights and bias start at zero, so an untrained branch leaves
    the model's masks as they are, bit for bit. ``proj`` is not in the paper, which leaves the
    widths of CLIP (512, 768) and SAM (256) apart; it is a linear layer. CLIP's features are scaled
    to a root mean square of 1, about that of SAM's tokens, whichever encoder they come from.

    Both equations act on every sparse token, the "not a point" token that SAM appends to a lone
    point included: it is part of ``F(P_geom)``. The dense embedding stands for an absent mask
    prompt, not for geometry, and stays the locked copy's.

    Args:
        encoder: the locked one; it is copied, but for `shared`.
        shared: the part of it that is a constant, such as the positional embedding.
        width: C of its tokens.
        text_width: D of the text features.
        seed: of the projection's initial weights.
    """

    def __init__(
        self, encoder: nn.Module, shared: nn.Module, width: int, text_width: int, seed: int = 0
    ) -> None:
        super().__init__()
        self.trained_encoder = copy.deepcopy(encoder, {id(shared): shared})
        self.text_projection = _seeded_linear(text_width, width, seed)
        self.zero = _empty_linear(width, width)
        nn.init.zeros_(self.zero.weight)
        nn.init.zeros_(self.zero.bias)

    def forward(
        self, locked: nn.Module, encode: Encode, class_text: torch.Tensor | None
    ) -> torch.Tensor:
        """``(P, T, C)`` merged tokens, Z of Eq. 2.

        Args:
            locked: the locked encoder.
            encode: the tokens that an encoder gives the prompts.
            class_text: ``(P, D) float32`` text features of each prompt's class.
        """
        if class_text is None:
            raise ValueError("a class-aware model needs the text features of each prompt's class")
        text = self.text_projection(_unit_scale(class_text))[:, None]
        z_text = encode(self.trained_encoder) + text
        return encode(locked) + self.zero(z_text)


def _unit_scale(features: torch.Tensor) -> torch.Tensor:
    return features * features.square().mean(-1, keepdim=True).clamp_min(1e-12).rsqrt()


def _seeded_linear(inputs: int, outputs: int, seed: int) -> nn.Linear:
    """A linear layer with torch's usual initial weights, drawn without the global generator."""
    layer = _empty_linear(inputs, outputs)
    generator = torch.Generator().manual_seed(seed)
    bound = inputs**-0.5
    with torch.no_grad():
        layer.weight.uniform_(-bound, bound, generator=generator)
        layer.bias.uniform_(-bound, bound, generator=generator)
    return layer


def _empty_linear(inputs: int, outputs: int) -> nn.Linear:
    return nn.Linear(inputs, outputs, device="meta").to_empty(device="cpu")
