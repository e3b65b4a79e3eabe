"""Model cards: a README.md whose YAML header holds the figures, beside the weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from omnicost.errors import InputError
from omnicost.models.tiny.pretrain.loop import Trained

CARD = "README.md"
_TABLE = "## Figures on held-out pictures\n| figure | value |\n|---|---|\n"


class About(NamedTuple):
    """What a model card says of a recipe."""

    recipe: str
    title: str
    summary: str
    data: str


def write_card(folder: Path, about: About, trained: Trained) -> None:
    """Write ``folder/README.md``, with the figures on held-out pictures."""
    command = f"python -m omnicost.models.tiny.pretrain {about.recipe} --out OUT"
    parameters = sum(p.numel() for p in trained.model.parameters())
    header = {
        "license": "apache-2.0",
        "library_name": "transformers",
        "title": about.title,
        "command": command,
        "parameters": parameters,
        "steps": trained.steps,
        "seconds": round(trained.seconds),
        "figures": _rounded(trained.figures),
    }
    minutes = trained.seconds / 60
    body = (
        f"# {about.title}\n{about.summary}\n\n"
        f"- **Data:** {about.data}\n"
        f"- **Parameters:** {parameters:,}\n"
        f"- **Training:** {trained.steps:,} steps, {minutes:.0f} minutes on one core.\n"
        f"- **Made by:** `{command}`\n\n{_table(trained.figures)}"
    )
    (folder / CARD).write_text(_text(header, body), encoding="utf-8")


def read_figures(folder: Path) -> dict[str, float]:
    """Figures of the card in ``folder``.

    Raises:
        InputError: there is no card, or it has no header.
    """
    header, _ = _read(folder)
    return {name: float(value) for name, value in header["figures"].items()}


def update_figures(folder: Path, figures: Mapping[str, float]) -> None:
    """Put figures measured anew into a card, as after a change of a data set's pictures."""
    header, body = _read(folder)
    header["figures"] = _rounded(figures)
    above = body[: body.index(_TABLE)]
    (folder / CARD).write_text(_text(header, above + _table(figures)), encoding="utf-8")


def _read(folder: Path) -> tuple[dict[str, Any], str]:
    """Header and body of a card."""
    path = folder / CARD
    if not path.exists():
        raise InputError(path, "there is no model card", "run the recipe again to write one")
    parts = path.read_text(encoding="utf-8").split("---\n", 2)
    header = yaml.safe_load(parts[1]) if len(parts) > 2 else None
    if not isinstance(header, dict) or "figures" not in header:
        raise InputError(path, "the card has no figures in its header", "run the recipe again")
    return header, parts[2]


def _text(header: Mapping[str, Any], body: str) -> str:
    return f"---\n{yaml.safe_dump(dict(header), sort_keys=False)}---\n{body}"


def _rounded(figures: Mapping[str, float]) -> dict[str, float]:
    return {name: round(float(value), 4) for name, value in figures.items()}


def _table(figures: Mapping[str, float]) -> str:
    return _TABLE + "".join(f"| {name} | {value:.3f} |\n" for name, value in figures.items())
