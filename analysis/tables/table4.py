"""Table 4: AP when SAM stays as released, so that masks only join the student's training set."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from analysis.recorded import KINDS, SHARES, Cell, Results, Section, cells_of, shown, written
from omnicost.annotation import Policy
from omnicost.results import recorded_table

CARD = "tiny-table4"


def paper_untuned() -> dict[Policy, Cell]:
    """The paper's cells, COCO."""
    return {
        Policy.cell(row["weak_type"], row["mask_share"]): Cell((row["ap"],))
        for row in recorded_table(4).to_dict("records")
    }


def make(results: Results, out: Path) -> Section:
    """The paper's COCO beside tiny-coco."""
    paper, tiny = paper_untuned(), cells_of(results.students(CARD))
    lines = [
        {"labels": kind}
        | {f"paper {share:.0%}": shown(paper.get(Policy.cell(kind, share))) for share in SHARES}
        | {f"tiny {share:.0%}": shown(tiny.get(Policy.cell(kind, share))) for share in SHARES}
        for kind in KINDS
    ]
    table = written(pd.DataFrame(lines), out, "table4")
    return Section("Table 4: AP without tuning SAM, by share of masks", table)
