"""Table 5 of the paper from the rows of a sweep: teacher mIoU by prompts, class prompt and masks.

Mean and standard deviation over the seeds, in percent, beside the paper's figures for COCO; printed
whichever way they fall. The masks are those of the training images without real ones.

    omnicost sweep tiny-table5 --seeds 3
    python analysis/teacher_table.py results/tiny-table5.teacher.jsonl
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Annotated, NamedTuple

import typer
from rich.console import Console
from rich.table import Table

from omnicost.errors import InputError
from omnicost.results import recorded_table
from omnicost.sweep.rows import TeacherRow

# The paper's prompts: annotation type and the end of the card's recipe name.
COLUMNS = {
    "point": ("point", " without GroundingDINO"),
    "point+detector": ("point", ""),
    "box": ("box", ""),
}
RECIPES = {False: "plain", True: "class-aware"}


class Entry(NamedTuple):
    """One setting of Table 5; percents."""

    mask_share: float
    class_aware: bool
    prompt: str
    mious: tuple[float, ...]  # one a seed
    paper: float


def compute_teacher_table_info(rows: Sequence[TeacherRow]) -> list[Entry]:
    """Every setting of the paper's table that the rows hold."""
    printed = recorded_table(5)
    entries = []
    for setting in printed.to_dict("records"):
        kind, suffix = COLUMNS[setting["prompt"]]
        recipe = RECIPES[bool(setting["class_aware"])]
        # Where GroundingDINO is not asked, rows are recorded once, under the shorter name.
        names = (
            {recipe + suffix} if kind == "point" else {recipe, recipe + " without GroundingDINO"}
        )
        share = float(setting["mask_share"])
        mious = tuple(_of(rows, share, kind, names))
        if mious:
            aware = bool(setting["class_aware"])
            entries.append(Entry(share, aware, setting["prompt"], mious, float(setting["miou"])))
    return entries


def _of(rows: Iterable[TeacherRow], share: float, kind: str, names: set[str]) -> Iterable[float]:
    return (
        row.miou
        for row in rows
        if row.miou is not None
        and row.annotation == kind
        and row.recipe in names
        and row.policy.get("mask", 0.0) == share
    )


def draw_teacher_table(entries: Iterable[Entry]) -> Table:
    """The table in the paper's form."""
    table = Table("masks", "class prompt", "prompt", title="Teacher mIoU", title_justify="left")
    for name in ("mean", "sd", "seeds", "paper, COCO"):
        table.add_column(name, justify="right")
    for entry in entries:
        spread = f"{stdev(entry.mious):.1f}" if len(entry.mious) > 1 else "-"
        figures = (f"{mean(entry.mious):.1f}", spread, str(len(entry.mious)), f"{entry.paper:.1f}")
        aware = "yes" if entry.class_aware else "no"
        table.add_row(f"{entry.mask_share:.0%}", aware, entry.prompt, *figures)
    return table


def read(path: Path) -> list[TeacherRow]:
    """The rows of a card that measures teachers."""
    try:
        return [TeacherRow.model_validate_json(line) for line in path.read_text().splitlines()]
    except (OSError, ValueError) as error:
        raise InputError(path, str(error).splitlines()[0], "name a *.teacher.jsonl") from None


def main(
    rows: Annotated[Path, typer.Argument(help="Rows of the card tiny-table5 or table5.")],
) -> None:
    """Print the table."""
    Console().print(draw_teacher_table(compute_teacher_table_info(read(rows))))


if __name__ == "__main__":
    typer.run(main)
