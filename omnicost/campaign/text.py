"""A report as a page of text, for a console of 80 columns or more."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from omnicost.campaign import words
from omnicost.campaign.report import PlanReport


def render(report: PlanReport) -> RenderableType:
    """The whole page."""
    parts: list[RenderableType] = [Text(words.title(report), style="bold"), Text()]
    parts += [_allocation(report), Text(), _outlook(report)]
    if report.bill is not None and report.bill.lines:
        parts += [Text(), Text("Hours go into", style="bold")]
        parts.append(_table(words.BILL_HEADINGS, words.bill_rows(report.bill)))
    if report.calendar is not None and report.calendar.types:
        parts += [Text(), Text("Calendar", style="bold")]
        headings = words.calendar_headings(report.calendar)
        parts.append(_table(headings, words.calendar_rows(report.calendar)))
    if runners_up := list(words.runner_up_rows(report)):
        by_cost = report.question.target is not None and report.question.confidence is None
        asked = "the same question" if by_cost else "the same money"
        headings = ("labels", "hours", "of full", "against plan", "chance better")
        parts += [Text(), Text(f"Runners-up for {asked}", style="bold")]
        parts.append(_table(headings, runners_up))
    if cautions := list(words.cautions(report)):
        parts += [Text(), Text("Mind", style="bold"), _bullets(cautions)]
    parts += [Text(), Text("Rests on", style="bold"), _bullets(words.grounds(report), "dim")]
    return Group(*parts)


def _allocation(report: PlanReport) -> Table:
    money = () if report.pay is None else (report.pay.currency,)
    *rows, total = words.allocation_rows(report)
    table = _table(("label", "images", "share", "s/image", "hours", *money), rows)
    table.add_section()
    table.add_row(*map(Text, total))
    return table


def _outlook(report: PlanReport) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    for name, text in words.outlook(report):
        table.add_row(name, Text(text))
    return table


def _bullets(texts: Iterable[str], style: str = "") -> Table:
    grid = Table.grid(padding=(0, 1, 0, 0))
    for text in texts:
        grid.add_row(Text("-", style="dim"), Text(text, style=style))
    return grid


def _table(headings: Iterable[str], rows: Iterable[list[str]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    first, *rest = headings
    table.add_column(Text(first))
    for heading in rest:
        table.add_column(Text(heading), justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row))
    return table
