"""The log of a training that may be killed and taken up: figures by step, cut to the checkpoint."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class StepLog:
    """Figures by step, one JSON object a line.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def rewind(self, done: int) -> None:
        """Drop what was written after a step, for it comes again, and a line that a kill tore."""
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        kept = [line for line in lines if line.endswith("}") and json.loads(line)["step"] <= done]
        self.path.write_text("".join(f"{line}\n" for line in kept))

    def write(self, done: int, figures: Mapping[str, Any]) -> None:
        """Add the figures after a step."""
        with self.path.open("a") as file:
            file.write(json.dumps({"step": done, **figures}) + "\n")
