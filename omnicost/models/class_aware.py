"""SAM prompted with points, boxes and, in `ClassAwareSam`, classes (Eq. 1-2 of the paper)."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch
from torch import nn

from omnicost.models.decode import Decoded, decode
from omnicost.models.frame import Prompts

if TYPE_CHECKING:
    from transformers import SamModel
    from transformers.models.sam.modeling_sam import SamMaskDecoder, SamPromptEncoder


class PromptedSam(nn.Module):
    """The part of SAM that is fine-tuned, copied from a `SamModel`: prompt encoder, mask decoder.

    Trainable are all parameters but the positional embedding, which image and prompts share (it is
    a constant in the original, a `Parameter` in transformers). The copies leave the `SamModel` as
    it was, so one loaded model serves many teachers.
    """

    prompt_encoder: SamPromptEncoder
    mask_decoder: SamMaskDecoder
    position: torch.Tensor  # (1, C, h, w) of the image embedding

    def __init__(self, sam: SamModel) -> None:
        super().__init__()
        shared = sam.prompt_encoder.shared_embedding
        self.prompt_encoder = copy.deepcopy(sam.prompt_encoder, {id(shared): shared})
        self.mask_decoder = copy.deepcopy(sam.mask_decoder)
        for part in (self.prompt_encoder, self.mask_decoder):
            part.requires_grad_(True)
        shared.requires_grad_(False)
        with torch.no_grad():
            position = sam.get_image_wide_positional_embeddings()
        self.register_buffer("position", position, persistent=False)

    @property
    def side(self) -> int:
        """Pixels along the input frame."""
        return int(self.prompt_encoder.input_image_size)

    def prompt_tokens(self, prompts: Prompts, class_text: torch.Tensor | None) -> torch.Tensor:
        """``(P, T, C)``: 2 tokens for a box or for a point and its padding, 3 for point and box."""
        return _encode(self.prompt_encoder, prompts)

    def forward(
        self,
        embedding: torch.Tensor,
        image_index: torch.Tensor | None,
        prompts: Prompts,
        class_text: torch.Tensor | None = None,
        multimask: bool = False,
    ) -> Decoded:
        """Masks for P prompts on B pictures.

        Args:
            embedding: ``(B, C, h, w) float32`` from the image encoder.
            image_index: ``(P,) int64`` picture of each prompt; None when there is one.
            prompts: in the input frame.
            class_text: ``(P, D) float32`` text features of each prompt's class; unused without
                class-awareness.
            multimask: three masks a prompt instead of one.
        """
        return decode(
            self.mask_decoder,
            embedding,
            image_index,
            self.position,
            self.prompt_tokens(prompts, class_text),
            self.prompt_encoder.no_mask_embed.weight[0],
            multimask,
        )

    def tuned_parameters(self) -> dict[str, nn.Parameter]:
        """What training moves, by name: what the optimiser gets and the artefact holds."""
        return {name: value for name, value in self.named_parameters() if value.requires_grad}

    def load_tuned(self, tensors: dict[str, torch.Tensor]) -> None:
        """Take over what `tuned_parameters` named.

        Raises:
            ValueError: if names or shapes are not this model's.
        """
        own = self.tuned_parameters()
        if own.keys() != tensors.keys():
            raise ValueError(f"names differ: {sorted(own.keys() ^ tensors.keys())[:3]}")
        with torch.no_grad():
            for name, value in tensors.items():
                if own[name].shape != value.shape:
                    raise ValueError(f"{name} has shape {tuple(value.shape)}")
                own[name].copy_(value)


class ClassAwareSam(PromptedSam):
    """SAM with a class beside its geometric prompt.

    With the locked and the trained copy of the prompt encoder, ``F_locked`` and ``F_train``::

        Z_text = F_train(P_geom) + proj(CLIP_text(P_cls))         (Eq. 1)
        Z      = F_locked(P_geom) + zero(Z_text)                  (Eq. 2)

    ``zero`` is a linear layer whose weights and bias start at zero, so an untrained
    `ClassAwareSam` gives SAM's masks bit for bit. ``proj`` is not in the paper, which leaves the
    widths of CLIP (512, 768) and SAM (256) apart; it is a linear layer. CLIP's features are scaled
    to a root mean square of 1, about that of SAM's tokens, whichever encoder they come from.

    Both equations act on every sparse token, the "not a point" token that SAM appends to a lone
    point included: it is part of ``F(P_geom)``. The dense embedding stands for an absent mask
    prompt, not for geometry, and stays the locked copy's.

    Args:
        sam: `transformers.SamModel`.
        text_width: D of the text features.
        seed: of the projection's initial weights.
    """

    trained_encoder: SamPromptEncoder

    def __init__(self, sam: SamModel, text_width: int, seed: int = 0) -> None:
        super().__init__(sam)
        shared = self.prompt_encoder.shared_embedding
        self.trained_encoder = copy.deepcopy(self.prompt_encoder, {id(shared): shared})
        self.prompt_encoder.requires_grad_(False)
        width = self.prompt_encoder.hidden_size
        self.text_projection = _seeded_linear(text_width, width, seed)
        self.zero = _empty_linear(width, width)
        nn.init.zeros_(self.zero.weight)
        nn.init.zeros_(self.zero.bias)

    def prompt_tokens(self, prompts: Prompts, class_text: torch.Tensor | None) -> torch.Tensor:
        """``(P, T, C)`` merged tokens, Z of Eq. 2."""
        if class_text is None:
            raise ValueError("a class-aware SAM needs the text features of each prompt's class")
        text = self.text_projection(_unit_scale(class_text))[:, None]
        z_text = _encode(self.trained_encoder, prompts) + text
        return _encode(self.prompt_encoder, prompts) + self.zero(z_text)


def _encode(encoder: SamPromptEncoder, prompts: Prompts) -> torch.Tensor:
    points, boxes = prompts.parts
    labels = None if points is None else torch.ones(1, len(points), 1, device=points.device)
    sparse, _ = encoder(
        input_points=None if points is None else points[None, :, None],
        input_labels=labels,
        input_boxes=None if boxes is None else boxes[None],
        input_masks=None,
    )
    return sparse[0]


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
