"""``python -m analysis --out DIR``: every table, figure and verdict, from the recorded rows."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from analysis import claims, f1_law, variants
from analysis.figures import figure1, gallery
from analysis.recorded import RESULTS, Results, Section
from analysis.tables import noise, starts, table1, table2, table3, table4, table5, tuning
from omnicost.errors import OmnicostError

Make = Callable[[Results, Path], Section]
PARTS: dict[str, Make] = {
    "claims": claims.make,
    "f1-law": f1_law.make,
    **{f"table{n}": m.make for n, m in enumerate((table1, table2, table3, table4, table5), 1)},
    "tuning": tuning.make,
    "noise": noise.make,
    "starts": starts.make,
    "variants": variants.make,
    "figure1": figure1.make,
    **{f"figure{g.number}": partial(gallery.make, g) for g in gallery.GALLERIES},
}


def report(results: Results, out: Path) -> str:
    """Make everything under ``out`` and give the Markdown of its README."""
    made = out / "report"
    made.mkdir(parents=True, exist_ok=True)
    sections = [make(results, made) for make in PARTS.values()]
    head = (
        "# The paper's evidence, and the tiny world's\n"
        "Made by `python -m analysis --out analysis` from `results/`; do not edit. Figures are\n"
        "means ± standard deviations over seeds; `-`: no rows. Tables are CSVs in `report/`.\n\n"
        f"{rows_line(results)}"
    )
    return "\n\n".join([head, *(f"## {title}\n{body}" for title, body in sections)]) + "\n"


def rows_line(results: Results) -> str:
    """Which rows a report is made from."""
    counts = ", ".join(f"{card} {count}" for card, count in results.counts().items())
    return f"Rows: {counts or 'none'}."


def main(
    out: Annotated[Path, typer.Option("--out", help="Folder of README.md and report/.")],
    results: Annotated[Path, typer.Option("--results", help="Folder of recorded rows.")] = RESULTS,
) -> None:
    """Make every table, figure and verdict; under two minutes, base install.

    \b
    Example:
      python -m analysis --out analysis
    """
    try:
        text = report(Results(results), out)
        (out / "README.md").write_text(text, encoding="utf-8")
    except (OmnicostError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from error
    typer.echo(f"wrote {out / 'README.md'} and {out / 'report'}")


if __name__ == "__main__":
    typer.run(main)
