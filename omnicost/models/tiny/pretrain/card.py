"""Model cards: a README.md whose YAML header holds the figures, beside the weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from omnicost.errors import InputError

CARD = "README.md"


@dataclass(frozen=True)
class Card:
    """What a model card says of one tiny model.

    ``figures`` are measured on held-out pictures; their names are ``dataset/measure``.
    """

    title: str
    summary: str
    data: str
    command: str
    parameters: int
    steps: int
    seconds: float
    figures: Mapping[str, float]


def write_card(folder: Path, card: Card) -> None:
    """Write ``folder/README.md``."""
    header = {
        "license": "apache-2.0",
        "library_name": "transformers",
        "title": card.title,
        "command": card.command,
        "parameters": card.parameters,
        "steps": card.steps,
        "seconds": round(card.seconds),
        "figures": {name: round(float(value), 4) for name, value in card.figures.items()},
    }
    rows = "\n".join(f"| {name} | {value:.3f} |" for name, value in card.figures.items())
    body = (
        f"# {card.title}\n{card.summary}\n\n"
        f"- **Data:** {card.data}\n"
        f"- **Parameters:** {card.parameters:,}\n"
        f"- **Training:** {card.steps:,} steps, {card.seconds / 60:.0f} minutes on one core.\n"
        f"- **Made by:** `{card.command}`\n\n"
        f"## Figures on held-out pictures\n| figure | value |\n|---|---|\n{rows}\n"
    )
    text = f"---\n{yaml.safe_dump(header, sort_keys=False)}---\n{body}"
    (folder / CARD).write_text(text, encoding="utf-8")


def read_figures(folder: Path) -> dict[str, float]:
    """Figures of the card in ``folder``.

    Raises:
        InputError: there is no card, or it has no header.
    """
    path = folder / CARD
    if not path.exists():
        raise InputError(path, "there is no model card", "run the recipe again to write one")
    parts = path.read_text(encoding="utf-8").split("---\n")
    header = yaml.safe_load(parts[1]) if len(parts) > 2 else None
    if not isinstance(header, dict) or "figures" not in header:
        raise InputError(path, "the card has no figures in its header", "run the recipe again")
    return {name: float(value) for name, value in header["figures"].items()}
