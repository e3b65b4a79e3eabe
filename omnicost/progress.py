"""How long work says how far it is: one callback for reading, drawing, training, writing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Progress = Callable[[int, int, dict[str, Any]], None]
"""Told of units done, units in all, and figures by name (a loss, a rate), often none."""


def silent(done: int, total: int, figures: dict[str, Any]) -> None:
    """Progress that nobody sees."""
