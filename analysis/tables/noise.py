"""Annotators' faults: AP of students on faulty labels against those on perfect ones."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from analysis.claims import contrast
from analysis.recorded import NOTHING, Results, Section, by_variant, cells_of, shown, written
from omnicost.annotation import Policy

KINDS = ("point", "box")


def make(results: Results, out: Path) -> Section:
    """The card `tiny-noise` beside the card `tiny-coco`'s cells without masks."""
    title = "Annotators' faults"
    clean = cells_of(results.students("tiny-coco"))
    faulty = by_variant(results.students("tiny-noise"))
    if not faulty:
        return Section(title, "No rows yet.")
    pool = [cell for cells in (clean, *faulty.values()) for cell in cells.values()]
    lines = []
    for variant, cells in faulty.items():
        line = {"fault": variant}
        for kind in KINDS:
            policy = Policy.cell(kind, 0.0)
            line[kind] = shown(cells.get(policy))
            terms = [(1.0, cells.get(policy, NOTHING)), (-1.0, clean.get(policy, NOTHING))]
            found = contrast(terms, pool)
            line[f"{kind}, against perfect labels"] = "-" if found is None else found.span()
        lines.append(line)
    note = (
        "AP on tiny-coco without masks, and its difference with a 95% interval. A fault that a "
        "type cannot have shows how far students of two machines differ."
    )
    return Section(title, f"{note}\n\n{written(pd.DataFrame(lines), out, 'noise')}")
