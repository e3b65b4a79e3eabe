"""Scores of students as they go on, by step, in a file beside their weights (light: no torch)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

SCORES: Final = "scores.json"


def step_of(share: float, steps: int) -> int:
    """The step after which a student of so many is scored."""
    return min(max(1, round(share * steps)), steps - 1)


def read_scores(content: bytes) -> dict[int, float]:
    """AP in percent by step."""
    return {int(step): float(ap) for step, ap in json.loads(content).items()}


def scores_in(folder: Path) -> dict[int, float]:
    """What a folder has of them."""
    path = folder / SCORES
    return read_scores(path.read_bytes()) if path.is_file() else {}
