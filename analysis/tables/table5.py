"""Table 5: mean IoU of the teacher's masks, by prompts, class prompt and share of masks.

The masks are those of the training images without real ones.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from analysis.recorded import NOTHING, Cell, Results, Section, shown, written
from omnicost.results import recorded_table

CARD = "tiny-table5"
# The paper's prompts: annotation type and the end of the card's variant.
PROMPTS = {
    "point": ("point", " without GroundingDINO"),
    "point+detector": ("point", ""),
    "box": ("box", ""),
}


class Setting(NamedTuple):
    """A row and column of the table."""

    mask_share: float
    class_aware: bool
    prompt: str


def paper_teachers() -> dict[Setting, Cell]:
    """The paper's, COCO."""
    return {
        Setting(float(row["mask_share"]), bool(row["class_aware"]), row["prompt"]): Cell(
            (float(row["miou"]),)
        )
        for row in recorded_table(5).to_dict("records")
    }


def tiny_teachers(rows: list[dict[str, Any]]) -> dict[Setting, Cell]:
    """The same settings of the card `tiny-table5`."""
    found = {}
    for setting in paper_teachers():
        kind, suffix = PROMPTS[setting.prompt]
        plain = "class-aware" if setting.class_aware else "plain"
        # Where GroundingDINO is not asked, rows are recorded once, under either name.
        names = {plain + suffix} if kind == "point" else {plain, plain + " without GroundingDINO"}
        values = {
            row["seed"]: row["miou"]
            for row in rows
            if row["annotation"] == kind
            and row["variant"] in names
            and row["policy"].get("mask", 0.0) == setting.mask_share
        }
        if values:
            found[setting] = Cell.of(values)
    return found


def make(results: Results, out: Path) -> Section:
    """The paper's COCO beside tiny-coco."""
    paper, tiny = paper_teachers(), tiny_teachers(results.teachers(CARD))
    lines = []
    for share in (0.01, 0.1):
        for aware in (False, True):
            line = {"masks": f"{share:.0%}", "class prompt": "yes" if aware else "no"}
            for name, cells in (("paper", paper), ("tiny", tiny)):
                for prompt in PROMPTS:
                    cell = cells.get(Setting(share, aware, prompt), NOTHING)
                    line[f"{name}, {prompt}"] = shown(cell)
            lines.append(line)
    table = written(pd.DataFrame(lines), out, "table5")
    return Section("Table 5: mean IoU of the teacher", table)
