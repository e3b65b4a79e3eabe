"""Two starts of a student: the whole pretrained one, and the paper's backbone with a fresh head."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from analysis.claims import pooled_spread
from analysis.recorded import FRESH, Results, Section, cells_of, shown, written


def make(results: Results, out: Path) -> Section:
    """The cells of `tiny-coco-scratch` beside the same of `tiny-coco`."""
    title = "Starts of the tiny students"
    fresh = cells_of(results.students(FRESH))
    if not fresh:
        return Section(title, "No rows yet.")
    whole = cells_of(results.students("tiny-coco"))
    lines = [
        {"policy": str(policy), "fresh head": shown(cell), "whole": shown(whole.get(policy))}
        for policy, cell in fresh.items()
    ]
    spreads = [pooled_spread(cells.values()) for cells in (fresh, whole)]
    told = " and ".join(f"{spread:.2f} ({freedom})" for freedom, spread in spreads)
    note = f"Pooled spread over seeds (degrees of freedom): {told} AP."
    return Section(title, f"{note}\n\n{written(pd.DataFrame(lines), out, 'starts')}")
