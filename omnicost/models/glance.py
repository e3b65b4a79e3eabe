"""A look at weights before anything is computed: config, vocabulary and headers, no tensor.

A truncated or wrong file is told in a dry run and before a sweep's first stage, not days later.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Final

from omnicost.errors import InputError, MissingError
from omnicost.models import loading
from omnicost.models.detectors.detector import REGISTRY as DETECTORS
from omnicost.models.loading import (
    WeightsRole,
    model_type_of,
    read_pth,
    require_vocabulary,
    resolve,
)
from omnicost.models.students.backbone import is_resnet
from omnicost.models.teachers.teacher import REGISTRY as TEACHERS

# Kinds whose weights may be a single file, and how it is called.
_SINGLE: Final = {
    "sam": (".pth", ".pt"),
    "detector": (".pth",),
    "backbone": (".pth", ".safetensors"),
    "student": (".safetensors",),
}
_TENSORS: Final = (".safetensors", ".bin")
_WITH_WORDS: Final = ("detector", "text")


def glance(spec: str, role: WeightsRole) -> None:
    """Refuse weights that are of another kind, cut short or without a vocabulary.

    Raises:
        MissingError: if they, or a part of them, are not on this machine.
        InputError: if what is there cannot be what is asked for.
    """
    path = resolve(spec, role)
    if path.is_file() and path.suffix in _SINGLE.get(role, ()):
        _open(path, path, role)
        return
    if not (role == "backbone" and is_resnet(path)):
        model_type_of(path, role, _types(role))
    if role in _WITH_WORDS:
        require_vocabulary(path, role)
    files = [file for file in sorted(path.iterdir()) if file.suffix in _TENSORS]
    if not files:
        raise MissingError(f"{role} weights {path}", "no weights in it", "get the weights again")
    for file in files:
        _open(file, path, role)


def _types(role: WeightsRole) -> Collection[str]:
    registries: dict[str, Collection[str]] = {"sam": TEACHERS, "detector": DETECTORS}
    return registries[role] if role in registries else loading.types_of(role)


def _open(file: Path, path: Path, role: WeightsRole) -> None:
    """Read the header of a file of tensors, which says where the file should end."""
    from safetensors import SafetensorError, safe_open

    if file.suffix != ".safetensors":
        read_pth(file, role)  # mapped
        return
    try:
        with safe_open(file, "pt"):
            pass
    except (OSError, SafetensorError) as error:
        where, problem = f"{role} weights {path}", f"{file.name} is damaged ({error})"
        raise InputError(where, problem, "get the weights again") from None
