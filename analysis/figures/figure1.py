"""Figure 1: AP against the share of masks, and against cost, on the paper's sets and the tiny."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from analysis.recorded import FULL, PAPER_SETS, TINY_SETS, Results, Section
from omnicost.plot.curves import curves_figure
from omnicost.plot.pareto import pareto_figure
from omnicost.plot.pareto_info import compute_pareto_info, info_frame
from omnicost.plot.style import save
from omnicost.results import Row, paper_rows


def make(results: Results, out: Path) -> Section:
    """Curves and Pareto plots of both."""
    paper = [row for name in PAPER_SETS for row in paper_rows(name)]
    tiny = [row for name in TINY_SETS for row in _whole(results.students(name))]
    body = [_drawn(paper, out, "paper")]
    body.append(_drawn(tiny, out, "tiny") if tiny else "No tiny data set has its rows yet.")
    return Section("Figure 1: AP against masks, and against cost", "\n\n".join(body))


def _whole(rows: list[Row]) -> list[Row]:
    """Rows of a data set whose full supervision is known, or the axes would mislead."""
    return rows if any(row.policy == FULL for row in rows) else []


def _drawn(rows: Sequence[Row], out: Path, whose: str) -> str:
    info = compute_pareto_info(rows)
    save(curves_figure(info), out / f"figure1_{whose}.png", info_frame(info))
    save(pareto_figure(info), out / f"pareto_{whose}.png", info_frame(info))
    return (
        f"![AP against the share of masks, {whose}]({out.name}/figure1_{whose}.png)\n\n"
        f"![AP against annotation seconds, {whose}]({out.name}/pareto_{whose}.png)"
    )
