"""The tiny foundation models that travel with the package, and where their weights are.

Each folder is in transformers' save format and loads like a released checkpoint.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from omnicost.errors import MissingError

TinyModel = Literal["sam", "detector", "clip", "backbone", "student"]
TINY_MODELS: tuple[TinyModel, ...] = get_args(TinyModel)
_WEIGHTS = Path(__file__).parent / "weights"


def weights_path(name: TinyModel) -> Path:
    """Folder of the shipped weights of ``name``.

    Raises:
        MissingError: there is no such model, or its weights are not in this installation.
    """
    if name not in TINY_MODELS:
        raise MissingError("tiny model", f"no {name!r}", f"choose from {', '.join(TINY_MODELS)}")
    folder = _WEIGHTS / name
    if not (folder / "config.json").exists():
        raise MissingError(
            folder,
            f"the weights of the tiny {name} are not here",
            "reinstall omnicost, or make them with `python -m omnicost.models.tiny.pretrain`",
        )
    return folder
