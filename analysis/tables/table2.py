"""Table 2: AP of the students, 13 cells on each of three data sets."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from analysis.recorded import (
    FULL,
    PAPER_SETS,
    TINY_SETS,
    Cells,
    Results,
    Section,
    cells_of,
    grid_rows,
    paper_cells,
    shown,
    written,
)
from omnicost.annotation import Policy

SIZES = {"AP": "ap", "AP S": "ap_small", "AP M": "ap_medium", "AP L": "ap_large"}


def make(results: Results, out: Path) -> Section:
    """AP of the six data sets side by side; the sizes go into the CSVs."""
    columns: dict[str, Cells] = {}
    for paper, tiny in zip(PAPER_SETS, TINY_SETS, strict=True):
        columns[paper] = paper_cells(paper)
        columns[tiny] = cells_of(results.students(tiny))
    table = written(frame(columns), out, "table2")
    for tiny in TINY_SETS:
        rows = results.students(tiny)
        if rows:
            sizes = {name: cells_of(rows, field) for name, field in SIZES.items()}
            frame(sizes).to_csv(out / f"table2_{tiny}.csv", index=False)
    note = "Mean and standard deviation over the seeds; in brackets the share of full supervision."
    return Section("Table 2: AP of the students", f"{note}\n\n{table}")


def frame(columns: dict[str, Cells]) -> pd.DataFrame:
    """Policies in Table 2's order, a column for each of the named cells."""
    policies = [(kind, share, Policy.cell(kind, share)) for kind, share in grid_rows()]
    policies.append(("-", 1.0, FULL))
    return pd.DataFrame(
        [
            {"masks": f"{share:.0%}", "labels": kind}
            | {name: _entry(cells, policy) for name, cells in columns.items()}
            for kind, share, policy in policies
        ]
    )


def _entry(cells: Cells, policy: Policy) -> str:
    text, full = shown(cells.get(policy)), cells.get(FULL)
    if policy == FULL or policy not in cells or not full:
        return text
    return f"{text} ({cells[policy].mean / full.mean:.0%})"
