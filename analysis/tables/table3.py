"""Table 3: what zero-shot SAM makes of boxes, with two kinds of student, beside earlier methods."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from analysis.recorded import FULL, Results, Section, by_variant, shown, written
from omnicost.annotation import Policy
from omnicost.results import recorded_table

BOXES = Policy.cell("box", 0.0)


def make(results: Results, out: Path) -> Section:
    """The paper's methods on COCO; the tiny students on boxes and on masks."""
    printed = recorded_table(3)[["method", "annotation", "backbone", "student", "ap", "split"]]
    paper = written(printed, out, "table3")
    lines = [
        {
            "student": variant,
            "boxes": shown(cells.get(BOXES)),
            "all masks": shown(cells.get(FULL)),
            "share": _share(cells),
        }
        for variant, cells in by_variant(results.students("tiny-table3")).items()
    ]
    tiny = written(pd.DataFrame(lines), out, "table3_tiny") if lines else "No rows yet."
    body = f"The paper, COCO:\n\n{paper}\n\nThe card `tiny-table3`, tiny-coco:\n\n{tiny}"
    return Section("Table 3: zero-shot pseudo-masks of boxes", body)


def _share(cells: dict[Policy, object]) -> str:
    boxes, full = cells.get(BOXES), cells.get(FULL)
    return f"{boxes.mean / full.mean:.0%}" if boxes and full else "-"  # type: ignore[attr-defined]
