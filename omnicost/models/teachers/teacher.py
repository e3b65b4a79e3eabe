"""What the pipeline asks of a promptable model, whatever its architecture.

`Promptable` is a released model, frozen: how pictures enter it and what it keeps of them.
`PromptHead` is the part of it that draws masks for prompts and that a teacher tunes.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Final, NamedTuple, Self

import torch
from torch import nn

from omnicost.models.loading import model_type_of, read_folder, resolve
from omnicost.models.teachers.frame import Frame, Prompts

# transformers' `model_type` -> module and name of its `Promptable`
REGISTRY: Final = {
    "sam": ("omnicost.models.teachers.sam", "Sam"),
    "sam2": ("omnicost.models.teachers.sam2", "Sam2"),
    "sam2_video": ("omnicost.models.teachers.sam2", "Sam2"),  # the hub's SAM 2 and 2.1 say so
    "sam_hq": ("omnicost.models.teachers.sam_hq", "SamHQ"),
}
CACHE_ELEMENTS = 1 << 20  # of one prompt batch's image tokens: measured fastest on a CPU
GPU_PROMPTS = 64

Features = tuple[torch.Tensor, ...]  # (B, C, h, w) of each level, that which prompts ask first


class Decoded(NamedTuple):
    """Masks of P prompts, M for each, at a quarter of the frame's resolution."""

    logits: torch.Tensor  # (P, M, h, w)
    iou: torch.Tensor  # (P, M) the decoder's own estimate


class Promptable(nn.Module, ABC):
    """A released model that draws masks for prompts; frozen, in evaluation mode.

    Args:
        model: transformers', of the class that `architecture` names.

    Attributes:
        frame: where its pictures and prompts lie.
        levels: ``(C, h, w)`` of each level of its features; what a cache holds of a picture.
    """

    architecture: ClassVar[str]
    frame: Frame
    levels: tuple[tuple[int, int, int], ...]

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    @classmethod
    def load(cls, path: Path, attention: str) -> Self:
        """From a folder, or what other files a model is released in."""
        read = cls._theirs().from_pretrained
        return cls(read_folder(read, path, "sam", attn_implementation=attention))

    @classmethod
    def _theirs(cls) -> Any:
        import transformers  # takes a second

        return getattr(transformers, cls.architecture)

    @classmethod
    def config_of(cls, path: Path) -> Any:
        """transformers' config of what `load` would load."""
        return cls._theirs().config_class.from_pretrained(path, local_files_only=True)

    @classmethod
    def untrained(cls, config: Any) -> Self:
        """A model of that config."""
        return cls(cls._theirs()(config))

    @property
    @abstractmethod
    def image_encoder(self) -> nn.Module:
        """The part that `EmbedConfig` may compile or lay out otherwise."""

    @property
    @abstractmethod
    def largest_tensor(self) -> int:
        """Numbers in the largest tensor while a picture is encoded."""

    @abstractmethod
    def encode(self, pixels: torch.Tensor) -> Features:
        """Features of ``(B, 3, side, side)`` pictures, one tensor for each of `levels`."""

    @abstractmethod
    def head(self, text_width: int | None = None, seed: int = 0) -> PromptHead:
        """A copy of what is tuned, so that one loaded model serves many teachers.

        Args:
            text_width: D of the text features of a class-aware head; None for a plain one.
            seed: of what starts at random.
        """


class PromptHead(nn.Module, ABC):
    """Draws masks for prompts on encoded pictures.

    Trainable are exactly the parameters that require a gradient.

    Attributes:
        frame: that of the model.
    """

    frame: Frame

    @abstractmethod
    def forward(
        self,
        features: Features,
        image_index: torch.Tensor | None,
        prompts: Prompts,
        class_text: torch.Tensor | None = None,
        multimask: bool = False,
        released: bool = False,
    ) -> Decoded:
        """Masks for P prompts on B pictures.

        Args:
            features: ``float32`` features of the pictures.
            image_index: ``(P,) int64`` picture of each prompt; None when there is one.
            prompts: in the input frame.
            class_text: ``(P, D) float32`` text features of each prompt's class; unused without
                class-awareness.
            multimask: several masks a prompt instead of one.
            released: whether the one mask may come from another token where the released model
                would take it from there; what is tuned is the first token alone.
        """

    @property
    @abstractmethod
    def multimask_tokens(self) -> int:
        """How many masks `multimask` gives."""

    @abstractmethod
    def lead_with(self, token: int) -> None:
        """Let the single mask start as one of the several, counted from 0, with its rating.

        What gives the single mask was trained for boxes and several points, not for a lone one.
        """

    def tuned_parameters(self) -> dict[str, nn.Parameter]:
        """What training moves, by name: what the optimizer gets and the artefact holds."""
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


def load_promptable(spec: str, device: str = "cpu", attention: str = "sdpa") -> Promptable:
    """A released promptable model, frozen and in evaluation mode.

    Args:
        spec: ``tiny``, hub id, folder, or official ``sam_vit_{b,l,h}*.pth``.
        device: a torch device.
        attention: ``sdpa`` or ``eager``.

    Raises:
        MissingError, InputError: if the weights are absent, damaged or of no known model.
    """
    path = resolve(spec, "sam")
    model = class_of(path).load(path, attention)
    return model.to(device).eval().requires_grad_(False)


def class_of(path: Path) -> type[Promptable]:
    """The class of a folder or official file.

    Raises:
        MissingError, InputError: if it is of no known model.
    """
    module, name = REGISTRY["sam" if path.is_file() else model_type_of(path, "sam", REGISTRY)]
    found: type[Promptable] = getattr(importlib.import_module(module), name)
    return found


def prompts_at_once(
    level: torch.Tensor, asked: int | None, device: str | torch.device = "cpu"
) -> int:
    """How many prompts to decode together: what is asked, or what is fastest on the device.

    Args:
        level: ``(C, h, w)`` of the features that a prompt asks.
        asked: the setting; None to choose by device and size (never by timing: two runs of the
            same settings must add up the same numbers in the same order).
        device: where they are decoded.
    """
    if asked is not None:
        return asked
    if torch.device(device).type != "cpu":
        return GPU_PROMPTS
    return min(GPU_PROMPTS, max(1, CACHE_ELEMENTS // level.numel()))
