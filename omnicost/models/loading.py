"""Where weights are: ``tiny``, a hub id, a folder in transformers' format, or an official ``.pth``.

Nothing is downloaded unless ``OMNICOST_DOWNLOAD=1`` is set (and ``HF_HUB_OFFLINE`` is not): a sweep
that silently fetches gigabytes, or different weights than yesterday's, is worse than one that says
what it lacks.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Callable, Collection
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from omnicost.errors import InputError, MissingError
from omnicost.files import file_digest
from omnicost.models.tiny import weights_path

WeightsRole = Literal["sam", "detector", "text", "backbone", "student"]
DOWNLOAD_VARIABLE = "OMNICOST_DOWNLOAD"
# What a model's behaviour depends on in a folder; documentation and other formats stay out.
_WEIGHT_SUFFIXES = (".safetensors", ".bin", ".json", ".txt", ".model")
_TEXT_TYPES = ("clip", "clip_text_model")
_STUDENT_TYPES = ("mask2former",)
_VOCABULARIES = ("tokenizer.json", "vocab.txt", "vocab.json")
_WORDS = "get tokenizer.json or vocab.txt beside it"


def resolve(spec: str, role: WeightsRole) -> Path:
    """The folder or ``.pth`` file that a spec stands for.

    Args:
        spec: ``tiny``, a folder, an official checkpoint (``sam_vit_b_01ec64.pth``), or a hub id
            with an optional revision (``facebook/sam-vit-base@main``).
        role: which tiny model ``tiny`` is, and what the error calls the weights.

    Raises:
        MissingError: if it is not on this machine; says where it was looked for.
    """
    if spec == "tiny":
        return weights_path("clip" if role == "text" else role)
    path = Path(spec).expanduser()
    if path.exists():
        return path
    if path.suffix in (".pth", ".safetensors") or spec.startswith((".", "/", "~")):
        raise MissingError(f"{role} weights {spec}", "no such file or folder", "check the path")
    return _hub_folder(spec, role)


def _hub_folder(spec: str, role: WeightsRole) -> Path:
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    repository, _, revision = spec.partition("@")
    allowed = os.environ.get(DOWNLOAD_VARIABLE) == "1"
    wanted = allowed and not constants.HF_HUB_OFFLINE
    try:
        folder = snapshot_download(
            repository,
            revision=revision or None,
            local_files_only=not wanted,
            allow_patterns=[f"*{suffix}" for suffix in _WEIGHT_SUFFIXES],
        )
    except HFValidationError:
        raise MissingError(
            f"{role} weights {spec}", "neither a file, a folder nor a hub id", "check the spelling"
        ) from None
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError):
        setting = "unset HF_HUB_OFFLINE" if allowed else f"set {DOWNLOAD_VARIABLE}=1"
        raise MissingError(
            f"{role} weights {spec}",
            f"no such folder, and not in the hub cache {constants.HF_HUB_CACHE}",
            f"get it with `hf download {repository}`, or {setting}, or name a folder",
        ) from None
    return Path(folder)


def fingerprint(spec: str, role: WeightsRole) -> str:
    """SHA-256 of the weights, config and vocabulary that a spec stands for.

    Raises:
        MissingError: if they are not on this machine, or the folder holds none.
    """
    path = resolve(spec, role)
    files = [path] if path.is_file() else _weight_files(path)
    if not files:
        raise MissingError(f"{role} weights {path}", "the folder holds none", "check the path")
    hasher = hashlib.sha256()
    for file in files:
        status = file.stat()
        name = file.name if path.is_file() else file.relative_to(path).as_posix()
        content = _file_digest(file.resolve(), status.st_size, status.st_mtime_ns)
        hasher.update(f"{name}\0{content}\n".encode())
    return hasher.hexdigest()


def _weight_files(folder: Path) -> list[Path]:
    return sorted(
        file
        for file in folder.rglob("*")
        if file.is_file() and file.suffix in _WEIGHT_SUFFIXES and file.name != "card.json"
    )


@lru_cache(maxsize=256)
def _file_digest(file: Path, size: int, changed_ns: int) -> str:
    """Digest of a file's bytes, once per process as long as size and time of change stay."""
    return file_digest(file)


def read_folder(load: Callable[..., Any], path: Path, role: WeightsRole, **options: Any) -> Any:
    """A transformers model from a folder, complete or not at all.

    Args:
        load: a class's ``from_pretrained``.
        options: of it; weights are in fp32 whatever they were saved in, as steps expect them.

    Raises:
        InputError: if files are missing or damaged, or the weights do not fit the config.
    """
    from transformers.utils import logging

    logging.disable_progress_bar()  # a bar a model would drown the run's own progress
    logging.set_verbosity_error()  # half a CLIP is meant to be left unread: no report of it
    options = {"dtype": torch.float32, **options}
    problem, remedy = "not a complete transformers checkpoint", "get the weights again"
    if role not in ("sam", "detector"):  # their registries were asked which class to load
        model_type_of(path, role, types_of(role))
    try:
        model, info = load(path, local_files_only=True, output_loading_info=True, **options)
    except Exception as error:  # whatever a damaged file makes the readers raise
        where, told = f"{role} weights {path}", _first_line(error)
        raise InputError(where, f"{problem} ({told})", remedy) from None
    lacking = sorted(info["missing_keys"]) + sorted(map(str, info["mismatched_keys"]))
    if lacking:
        raise InputError(
            f"{role} weights {path}", f"{len(lacking)} tensors missing, first {lacking[0]}", remedy
        )
    return model


def model_type_of(path: Path, role: WeightsRole, known: Collection[str]) -> str:
    """The ``model_type`` in a folder's config, before any weight is read.

    Args:
        path: the folder.
        role: what the error calls the weights.
        known: the types that will do.

    Raises:
        MissingError, InputError: if it is no folder of that kind of model.
    """
    where, remedy = f"{role} weights {path}", "get the weights again"
    if path.is_file():
        raise InputError(where, "a file", "name a hub id or a folder with config.json and weights")
    try:
        found = str(json.loads((path / "config.json").read_text())["model_type"])
    except FileNotFoundError:
        raise MissingError(where, "no config.json in it", remedy) from None
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(where, "its config.json names no model", remedy) from None
    if found not in known:
        some = ", ".join(known) if role != "backbone" else "resnet, swin, ..."
        raise InputError(where, f"holds a model of type {found!r}", f"name a {role} model ({some})")
    return found


def types_of(role: WeightsRole) -> Collection[str]:
    """`model_type` of a kind; a backbone's is any that transformers has a backbone for."""
    if role == "backbone":
        from transformers.models.auto import modeling_auto

        return modeling_auto.MODEL_FOR_BACKBONE_MAPPING_NAMES
    return _STUDENT_TYPES if role == "student" else _TEXT_TYPES


def read_tokenizer(path: Path, role: WeightsRole) -> Any:
    """The tokenizer that lies in a folder.

    Raises:
        InputError: if it is absent or damaged.
    """
    from transformers import AutoTokenizer

    require_vocabulary(path, role)
    try:
        return AutoTokenizer.from_pretrained(path, local_files_only=True)
    except Exception as error:  # whatever a damaged file makes the readers raise
        where, problem = f"{role} tokenizer {path}", f"damaged ({_first_line(error)})"
        raise InputError(where, problem, _WORDS) from None


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:120]


def require_vocabulary(path: Path, role: WeightsRole) -> None:
    """Refuse a folder without words: transformers would read every one as unknown.

    Raises:
        MissingError: if no vocabulary is in it.
    """
    if not any((path / name).exists() for name in _VOCABULARIES):
        raise MissingError(f"{role} tokenizer {path}", "no vocabulary in it", _WORDS)


def read_pth(path: Path, role: WeightsRole) -> dict[str, torch.Tensor]:
    """The tensors of an official checkpoint; never unpickles anything but tensors.

    Raises:
        InputError: if the file is damaged or holds something else.
    """
    try:
        is_mapped = zipfile.is_zipfile(path)
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=is_mapped)
    except Exception:  # whatever a damaged file makes the readers raise
        raise InputError(
            f"{role} weights {path}", "damaged, or not a file of tensors", "download it again"
        ) from None
    state = content.get("model", content) if isinstance(content, dict) else None
    if not state or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise InputError(f"{role} weights {path}", "holds no tensors", "name the official file")
    return {name.removeprefix("module."): value for name, value in state.items()}


def fill(model: nn.Module, state: dict[str, torch.Tensor], path: Path, role: WeightsRole) -> None:
    """Load a mapped checkpoint into a model, every tensor of both accounted for.

    Raises:
        InputError: if tensors are missing, left over or of another shape.
    """
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        line = " ".join(str(error).split())[:200]
        raise InputError(
            f"{role} weights {path}", f"does not fit the architecture ({line})", "check the file"
        ) from None
