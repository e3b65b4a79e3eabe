"""Recorded rows as cells: what was measured, once a seed, under which settings.

Base install: nothing here needs torch.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd

from omnicost.annotation import Policy
from omnicost.results import Row, paper_rows, read_rows

HERE: Final = Path(__file__).parent
RESULTS: Final = HERE.parent / "results"
KINDS: Final = ("none", "class", "point", "box")
SHARES: Final = (0.0, 0.01, 0.1)
PAPER_SETS: Final = ("coco", "ade20k", "cityscapes")
TINY_SETS: Final = tuple(f"tiny-{name}" for name in PAPER_SETS)
FRESH: Final = "tiny-coco-scratch"  # tiny-coco from the paper's start, a fresh head
FULL: Final = Policy.cell("mask", 1.0)


class Section(NamedTuple):
    """One table or figure of the report: its title and its Markdown."""

    title: str
    body: str


class Cell(NamedTuple):
    """One setting and what each seed gave; a recorded figure of the paper is one value."""

    values: tuple[float, ...]
    seeds: tuple[int, ...] = (0,)

    @classmethod
    def of(cls, by_seed: Mapping[int, float]) -> Cell:
        """The values in the order of their seeds."""
        seeds = tuple(sorted(by_seed))
        return cls(tuple(by_seed[seed] for seed in seeds), seeds)

    @property
    def mean(self) -> float:
        """Over the seeds."""
        return float(np.mean(self.values))

    def text(self, digits: int = 1) -> str:
        """Mean and, where there are seeds, their standard deviation."""
        if len(self.values) < 2:
            return f"{self.mean:.{digits}f}"
        return f"{self.mean:.{digits}f} ± {np.std(self.values, ddof=1):.{digits}f}"


NOTHING: Final = Cell((), ())
Cells = Mapping[Policy, Cell]


@dataclass(frozen=True)
class Results:
    """The rows under a folder such as `results`."""

    folder: Path = RESULTS

    def students(self, card: str) -> list[Row]:
        """Finished students of a tiny card; none if it has not run."""
        path = self.folder / "tiny" / f"{card}.jsonl"
        return [row for row in read_rows(path) if not row.truncated] if path.exists() else []

    def teachers(self, card: str) -> list[dict[str, Any]]:
        """Rows of a tiny card that measures teachers."""
        path = self.folder / "tiny" / f"{card}.teacher.jsonl"
        if not path.exists():
            return []
        return [json.loads(line) for line in path.read_text().splitlines() if line.strip()]

    def counts(self) -> dict[str, int]:
        """Rows of each tiny card that has any."""
        paths = sorted((self.folder / "tiny").glob("*.jsonl"))
        return {path.stem: len(path.read_text().splitlines()) for path in paths}


def cells_of(rows: Iterable[Row], figure: str = "ap") -> dict[Policy, Cell]:
    """One figure of each policy, a value a seed; rows without it are left out."""
    values: dict[Policy, dict[int, float]] = {}
    for row in rows:
        value = getattr(row, figure)
        if value is not None:
            values.setdefault(row.policy, {})[row.seed] = value
    return {policy: Cell.of(own) for policy, own in values.items()}


def by_variant(rows: Iterable[Row]) -> dict[str, dict[Policy, Cell]]:
    """The AP of each policy of each variant."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.variant, []).append(row)
    return {variant: cells_of(own) for variant, own in groups.items()}


@cache
def paper_cells(dataset: str, figure: str = "ap") -> dict[Policy, Cell]:
    """Table 2's cells."""
    return cells_of(paper_rows(dataset), figure)


def grid_rows() -> list[tuple[str, float]]:
    """Table 2's rows below 100%, in its order: type and mask share."""
    return [(kind, share) for share in SHARES for kind in KINDS]


def shown(cell: Cell | None, digits: int = 1) -> str:
    """A table's entry."""
    return cell.text(digits) if cell is not None and cell.values else "-"


def markdown(frame: pd.DataFrame) -> str:
    """A frame of strings as a Markdown table, without its index."""
    lines = [list(frame.columns), ["---"] * len(frame.columns), *frame.values.tolist()]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def written(frame: pd.DataFrame, out: Path, name: str) -> str:
    """Write the frame as CSV and give it back as Markdown."""
    frame.to_csv(out / f"{name}.csv", index=False)
    return markdown(frame)
