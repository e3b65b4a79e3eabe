"""What the pipeline asks of a student, whatever its architecture."""

from __future__ import annotations

import importlib
import json
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import numpy as np
import torch
from pydantic import TypeAdapter
from torch import nn
from torch.utils.checkpoint import checkpoint

from omnicost.errors import InputError, MissingError
from omnicost.models.students.backbone import Backbone, read_backbone
from omnicost.models.students.settings import Architecture

_KEY = "omnicost_student"


class ImageTargets(NamedTuple):
    """What one image teaches: N instances, at the size of the batch's pictures."""

    masks: torch.Tensor  # (N, H, W) uint8, 0 or 1
    classes: torch.Tensor  # (N,) int64
    weights: torch.Tensor  # (N,) float32, 1 for a real mask
    exponents: torch.Tensor | None = None  # (N,) float32 as of `criterion.generalised`; None: all 0

    def to(self, device: torch.device | str) -> ImageTargets:
        """The same on another device."""
        masks, classes, weights = (part.to(device, non_blocking=True) for part in self[:3])
        exponents = self.exponents
        if exponents is not None:
            exponents = exponents.to(device, non_blocking=True)
        return ImageTargets(masks, classes, weights, exponents)


class Prediction(NamedTuple):
    """What a student finds in one image: M instances, best first, at the picture's own size."""

    rles: tuple[dict[str, Any], ...]  # compressed COCO RLE
    class_indices: np.ndarray  # (M,) int64
    scores: np.ndarray  # (M,) float32, in [0, 1]


LazyPrediction = Callable[[], Prediction]
"""A picture's prediction but for fetching and encoding its masks, which any thread may do."""


class Student(nn.Module, ABC):
    """An instance segmenter that the pipeline can train and query.

    Subclasses keep the transformers backbone where `backbone` finds it, so that its learning rate
    can differ. A head's initial weights are those of the library that it comes from.

    Args:
        settings: one of `settings.Architecture`.
        num_classes: K.
        backbone_config: of a transformers backbone.
    """

    def __init__(self, settings: Any, num_classes: int, backbone_config: Any) -> None:
        super().__init__()
        self.settings = settings
        self.num_classes = num_classes
        self.backbone_config = backbone_config

    @abstractmethod
    def loss(
        self, images: torch.Tensor, targets: Sequence[ImageTargets], world_size: int = 1
    ) -> dict[str, torch.Tensor]:
        """Weighted losses, whose sum is what training brings down.

        Args:
            images: ``(B, 3, H, W) uint8`` RGB.
            targets: one an image.
            world_size: processes that average their gradients.
        """

    def shares(
        self,
        part: Sequence[ImageTargets],
        whole: Sequence[ImageTargets],
        world_size: int = 1,
        device: torch.device | str = "cpu",
    ) -> Mapping[str, float | torch.Tensor]:
        """What each loss of a part of a batch counts, so that the parts' add up to the whole's.

        Here every picture counts alike, which is right up to means over drawn samples.

        Args:
            part: of one micro-batch.
            whole: of all micro-batches of this process.
            world_size: processes that average their gradients.
            device: where processes exchange numbers.
        """
        return defaultdict(lambda: len(part) / len(whole))

    @abstractmethod
    def draw(self, images: Sequence[np.ndarray]) -> Iterator[LazyPrediction]:
        """Instances in each ``(H, W, 3) uint8`` RGB picture, drawn as they are asked for."""

    def predict(self, images: Sequence[np.ndarray]) -> list[Prediction]:
        """Instances in each ``(H, W, 3) uint8`` RGB picture, at its own size."""
        return [finish() for finish in self.draw(images)]

    @property
    @abstractmethod
    def backbone(self) -> nn.Module:
        """The part that learns at the backbone's rate."""

    def forward(
        self, images: torch.Tensor, targets: Sequence[ImageTargets], world_size: int = 1
    ) -> dict[str, torch.Tensor]:
        """The loss: DistributedDataParallel synchronises gradients around `forward` only."""
        return self.loss(images, targets, world_size)

    def compile_network(self) -> None:
        """Have torch.compile speed up the part whose shapes do not change."""
        self.backbone.compile()

    def save_activation_memory(self) -> None:
        """Work activations out again in the backward pass instead of keeping them."""
        checkpoint_layers(self.backbone)

    def train(self, mode: bool = True) -> Self:
        """Training mode, in which frozen batch norms stay as they are."""
        super().train(mode)
        if self.settings.freeze_batchnorm:
            freeze_batchnorm(self.backbone)
        return self


def freeze_batchnorm(module: nn.Module) -> None:
    """Fix statistics, scale and shift of every batch norm (detectron2's FrozenBN)."""
    for part in module.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.eval()
            part.requires_grad_(False)


def freeze_unreached(student: Student) -> None:
    """Train nothing of the backbone that no feature map depends on, as Swin's last norm.

    It has no gradient, and processes that share theirs end where one never comes.
    """
    student.eval()  # batch norms keep their statistics, and no path is dropped at random
    parameters = [part for part in student.backbone.parameters() if part.requires_grad]
    if parameters:
        pixels = torch.zeros(1, 3, 64, 64, device=parameters[0].device)
        levels = student.backbone(pixels).feature_maps
        total = torch.stack([level.sum() for level in levels]).sum()
        found = torch.autograd.grad(total, parameters, allow_unused=True)
        for part, gradient in zip(parameters, found, strict=True):
            part.requires_grad_(gradient is not None)
    student.train()


def checkpoint_layers(module: nn.Module) -> None:
    """Activation checkpoints around each layer of the outermost layer lists in a module."""
    for child in module.children():
        if isinstance(child, nn.ModuleList):
            for layer in child:
                layer.forward = partial(checkpoint, layer.forward, use_reentrant=False)
        else:
            checkpoint_layers(child)


@contextmanager
def quiet() -> Iterator[None]:
    """No advice or progress bars of transformers inside."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


# kind -> module and name of its `Student`
REGISTRY: Final = {
    "mask2former": ("omnicost.models.students.mask2former", "Mask2FormerStudent"),
    "maskrcnn": ("omnicost.models.students.maskrcnn", "MaskRCNNStudent"),
    "detectron2": ("omnicost.models.students.detectron2_backend", "Detectron2Student"),
}


def build(settings: Any, num_classes: int, backbone: Backbone | str) -> Student:
    """A student with that backbone (hub id, folder or ``tiny``) and a fresh head.

    Raises:
        InputError: for a kind that is not in `REGISTRY`.
    """
    if settings.kind not in REGISTRY:
        known = ", ".join(REGISTRY)
        raise InputError(
            "student.architecture.kind", f"no student {settings.kind!r}", f"use {known}"
        )
    if isinstance(backbone, str):
        backbone = read_backbone(backbone)
    module, name = REGISTRY[settings.kind]
    made: type[Student] = getattr(importlib.import_module(module), name)
    student = made(settings, num_classes, backbone.config)
    if backbone.weights is not None:
        student.backbone.load_state_dict(dict(backbone.weights))
    return student.train()


def save(path: Path, student: Student) -> None:
    """Write a student's weights, and all that rebuilding it needs, as one safetensors file."""
    from safetensors.torch import save_file

    described = {
        "settings": student.settings.model_dump(mode="json"),
        "num_classes": student.num_classes,
        "backbone": _described(student.backbone_config),
    }
    weights = {name: value.contiguous() for name, value in student.state_dict().items()}
    # One key: safetensors writes several in any order, and equal students should be equal files.
    save_file(weights, path, metadata={_KEY: json.dumps(described, sort_keys=True)})


def _described(config: Any) -> dict[str, Any] | None:
    """A backbone's config without the folder that it came from: equal students are equal files."""
    if config is None:
        return None
    return {name: value for name, value in config.to_dict().items() if name != "_name_or_path"}


def load(path: Path, device: torch.device | str = "cpu") -> Student:
    """The student of a file that `save` wrote, ready to predict.

    Raises:
        MissingError: if the file is absent or is no student's.
        InputError: if there is no such device.
    """
    with _students_file(path) as (file, described):
        student = _rebuild(described)
        student.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    try:
        return student.to(device).eval()
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, AssertionError) as error:
        problem = f"{device} cannot be used ({str(error).splitlines()[0]})"
        raise InputError("`device`", problem, "use cpu, or one that is there, as cuda:0") from None


def classes_in(path: Path) -> int:
    """How many classes the student of a file tells apart, without its weights.

    Raises:
        MissingError: if the file is absent or is no student's.
    """
    with _students_file(path) as (_, described):
        return int(described["num_classes"])


@contextmanager
def _students_file(path: Path) -> Iterator[tuple[Any, dict[str, Any]]]:
    """A student's file and what it says of itself; whatever is wrong with it is one line."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            yield file, json.loads((file.metadata() or {})[_KEY])
    except (
        SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError
    ) as error:  # fmt: skip
        reason = " ".join(str(error).split())
        raise MissingError(path, f"is no student ({reason})", "train it again") from None


def _rebuild(described: dict[str, Any]) -> Student:
    from transformers import AutoConfig

    settings = TypeAdapter(Architecture).validate_python(described["settings"])
    raw = described["backbone"]
    config = None if raw is None else AutoConfig.for_model(raw.pop("model_type"), **raw)
    return build(settings, described["num_classes"], Backbone(config))
