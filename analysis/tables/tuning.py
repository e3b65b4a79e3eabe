"""Tuned against released teachers, by data set, share of masks and kind: rows of
`analysis/tiny/teachers.py`."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Final

import pandas as pd
from pydantic import BaseModel

from analysis.recorded import Results, Section, written

COLUMNS: Final = (
    "data set", "masks", "kind",
    "released", "tuned", "gain", "sd", "worst", "+-", "kept", "r before", "r after",
)  # fmt: skip


class Row(BaseModel):
    """One tuned teacher; IoUs in percent."""

    dataset: str
    mask_share: float
    kind: str
    seed: int
    instances: int
    """Judged."""
    released: float
    tuned: float
    kept: str
    """``tuned``, or ``released`` where held-out images said so."""
    released_correlation: float
    """Of ratings and true IoU."""
    tuned_correlation: float
    difference_error: float
    """Standard error of tuned less released over the instances."""
    cpu_seconds: float
    made_of: str
    """Hash of the settings, the world, the weights and the step's version."""


def read(path: Path) -> list[Row]:
    """The rows measured so far."""
    return [Row.model_validate_json(line) for line in path.read_text().splitlines()]


def table_lines(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    """A line for each data set, share and kind."""
    key = lambda row: (row.dataset, row.mask_share, row.kind)  # noqa: E731
    lines = []
    for (name, share, kind), group in itertools.groupby(sorted(rows, key=key), key):
        same = list(group)
        gains = [row.tuned - row.released for row in same]
        kept = sum(row.kept == "released" for row in same)
        lines.append(
            (
                name,
                f"{share:.0%}",
                kind,
                f"{mean(row.released for row in same):.1f}",
                f"{mean(row.tuned for row in same):.1f}",
                f"{mean(gains):+.2f}",
                f"{stdev(gains):.2f}" if len(gains) > 1 else "-",
                f"{min(gains):+.2f}",
                f"{mean(row.difference_error for row in same):.2f}",
                f"{kept}/{len(same)}",
                f"{mean(row.released_correlation for row in same):.2f}",
                f"{mean(row.tuned_correlation for row in same):.2f}",
            )
        )
    return lines


def make(results: Results, out: Path) -> Section:
    """A line a setting, and how many teachers were worse than what they began with."""
    title = "Tuned and released teachers: mean IoU on held-out pictures"
    path = results.folder / "tiny" / "tuned_teachers.jsonl"
    if not path.exists():
        return Section(title, "No rows yet.")
    rows = read(path)
    worst = min(rows, key=lambda row: row.tuned - row.released)
    note = (
        f"{len(rows)} teachers, prompts of the ground truth; gain: mean over the seeds with its "
        "standard deviation, and the worst; +-: standard error over instances; kept: released "
        "weights were, since held-out images said so; r: correlation of ratings and true IoU. "
        f"The least that tuning gained is {worst.tuned - worst.released:+.1f} ({worst.dataset}, "
        f"{worst.mask_share:.0%} masks, {worst.kind}, seed {worst.seed})."
    )
    table = written(pd.DataFrame(table_lines(rows), columns=COLUMNS), out, "tuning")
    return Section(title, f"{note}\n\n{table}")
