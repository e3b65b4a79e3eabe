"""CLIP's text encoder: class names to features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from omnicost.errors import InputError
from omnicost.models.loading import read_folder, read_tokenizer, resolve


@dataclass(frozen=True)
class TextEncoder:
    """A frozen CLIP text encoder with its projection."""

    model: Any  # transformers.CLIPTextModelWithProjection
    tokenizer: Any

    @property
    def width(self) -> int:
        """D of the features: 512 for CLIP ViT-B, 768 for ViT-L."""
        return int(self.model.config.projection_dim)

    @torch.no_grad()
    def encode(self, names: Sequence[str], template: str = "{}") -> torch.Tensor:
        """``(K, D) float32`` projected features, on the CPU, not normalised.

        Args:
            names: K class names.
            template: what is read for each, ``{}`` standing for the name.

        Raises:
            InputError: if the template has no ``{}``.
        """
        if "{}" not in template:
            raise InputError("class_prompt", f"{template!r} has no {{}}", "write 'a photo of a {}'")
        texts = [template.replace("{}", name) for name in names]
        limit = self.model.config.max_position_embeddings
        tokens = self.tokenizer(
            texts, padding=True, truncation=True, max_length=limit, return_tensors="pt"
        )
        device = self.model.text_projection.weight.device
        features = self.model(
            input_ids=tokens["input_ids"].to(device),
            attention_mask=tokens["attention_mask"].to(device),
        )
        return features.text_embeds.float().cpu()


def load_text_encoder(spec: str, device: str = "cpu") -> TextEncoder:
    """A frozen CLIP text encoder.

    Args:
        spec: ``tiny``, hub id or folder of a CLIP model or of its text half.
        device: a torch device.

    Raises:
        MissingError, InputError: if weights or vocabulary are absent or damaged.
    """
    from transformers import CLIPTextModelWithProjection

    path = resolve(spec, "text")
    model = read_folder(CLIPTextModelWithProjection.from_pretrained, path, "text")
    return TextEncoder(model.to(device).eval().requires_grad_(False), read_tokenizer(path, "text"))
