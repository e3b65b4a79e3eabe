"""Options of `omnicost plan` by panel, and what their texts say."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from omnicost.cli.shared.completion import complete_datasets, complete_types
from omnicost.cli.shared.output import OUTPUT_PANEL
from omnicost.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from omnicost.annotation import AnnotationType
    from omnicost.campaign.team import Team
    from omnicost.cost import LabellingTimes, OverheadsByType

_TEAM = "Bill and calendar"

# --- what is planned

StudentsOption = Annotated[
    str | None,
    typer.Option(
        help="Statistics and students of coco, ade20k or cityscapes; or which of --results.",
        autocompletion=complete_datasets,
    ),
]
BudgetOption = Annotated[str | None, typer.Option(help="As 500h, 3days, or 12000usd with --wage.")]
TargetOption = Annotated[
    str | None, typer.Option(help="As 95%: the cheapest way to that share of full AP.")
]
ResultsOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--results",
        "--pilot",
        help="Rows (JSON Lines) that a sweep of yours wrote: the plan rests on them instead of "
        "the paper's. With --like, rows of data sets that it does not name are a pilot: a few "
        "students of your project beside many of others. Both names are one option; repeats.",
    ),
]
VariantOption = Annotated[
    str | None, typer.Option(help="Which variant's rows of --results to use.")
]
InHandOption = Annotated[
    Path | None,
    typer.Option(
        help="Labels that exist: an earlier manifest.csv, or a COCO-format set or file. Each is "
        "kept or raised, and only new ones are paid for."
    ),
]
MasksFirstOption = Annotated[
    Path | None,
    typer.Option(
        help="Which images get masks first: review.csv of omnicost review; else a seeded draw."
    ),
]
TypesOption = Annotated[
    str | None,
    typer.Option(help="What annotators can do, as point,box,mask.", autocompletion=complete_types),
]
MaxHoursOption = Annotated[
    list[str] | None, typer.Option(help="Hours there are for a type, as mask=100; repeats.")
]
ConfidenceOption = Annotated[
    float | None, typer.Option(help="Chance with which the spend fits, or the target holds.")
]
DrawsOption = Annotated[int, typer.Option(min=100, max=100_000, help="Draws of what is uncertain.")]
PlanSeedOption = Annotated[int, typer.Option(min=0, help="Of draws and manifest.")]

# --- bill and calendar

ReviewOption = Annotated[
    list[str] | None,
    typer.Option(
        help="Checking, as a share of labelling time: 15% or box=10%; repeats. Assumed: 15%.",
        rich_help_panel=_TEAM,
    ),
]
ReworkOption = Annotated[
    list[str] | None,
    typer.Option(
        help="Labelling done again, as a share of it. Assumed: 5%.", rich_help_panel=_TEAM
    ),
]
IdleOption = Annotated[
    list[str] | None,
    typer.Option(
        help="Paid time in which nothing is labelled, as a share of it. Assumed: 10%.",
        rich_help_panel=_TEAM,
    ),
]
SetupOption = Annotated[
    list[str] | None,
    typer.Option(
        help="Hours before a type's first label, as 8h or mask=16h; repeats. None if absent.",
        rich_help_panel=_TEAM,
    ),
]
AnnotatorsOption = Annotated[
    int | None, typer.Option(min=1, help="How many work: adds a calendar.", rich_help_panel=_TEAM)
]
HoursAWeekOption = Annotated[float, typer.Option(help="Paid hours of each.", rich_help_panel=_TEAM)]
HoursADayOption = Annotated[
    float, typer.Option(min=0.1, max=24, help="Of a day in --budget.", rich_help_panel=_TEAM)
]
WeeksOption = Annotated[
    float | None, typer.Option(help="Deadline, in weeks from the start.", rich_help_panel=_TEAM)
]
StartOption = Annotated[
    str | None, typer.Option(help="First day, as 2026-12-01.", rich_help_panel=_TEAM)
]

# --- output

ManifestOption = Annotated[
    Path | None,
    typer.Option(
        help="Folder for the lists of which image gets what, with tasks for labelling tools.",
        rich_help_panel=OUTPUT_PANEL,
    ),
]
PageOption = Annotated[
    Path | None,
    typer.Option(help="Write the report as one .html file.", rich_help_panel=OUTPUT_PANEL),
]
PlotOption = Annotated[
    Path | None,
    typer.Option(help="Draw the plan: .png, .svg or .pdf.", rich_help_panel=OUTPUT_PANEL),
]


def read_limits(texts: list[str] | None, hours_a_day: float) -> dict[str, float]:
    """Hours by type from ``--max-hours``.

    Raises:
        InputError: naming what cannot be read.
    """
    from omnicost.amounts import read_hours

    limits = {}
    for part in (part for text in texts or [] for part in text.split(",")):
        name, found, hours = part.partition("=")
        if not found:
            problem = f"{part.strip()!r} is not type=hours"
            raise InputError("`max_hours`", problem, "write mask=100h")
        number = f"{hours.strip()}h" if hours.strip()[-1:].isdigit() else hours
        limits[name.strip()] = read_hours(number, "`max_hours`", hours_a_day)
    return limits


def read_overheads(
    times: LabellingTimes,
    review: list[str] | None = None,
    rework: list[str] | None = None,
    idle: list[str] | None = None,
    setup: list[str] | None = None,
) -> OverheadsByType:
    """The times' own overheads, or the assumed ones, with what was given in their place.

    Raises:
        InputError: naming the option and what cannot be read.
    """
    from omnicost.amounts import read_hours, read_share
    from omnicost.annotation import AnnotationType
    from omnicost.cost import Overheads

    found = {each: times.overheads.get(each, Overheads()) for each in AnnotationType}
    shares = {"review": review, "rework": rework, "idle": idle}
    given = [(name, part) for name, texts in shares.items() for part in _parts(texts)]
    given += [("setup_hours", part) for part in _parts(setup)]
    for name, text in given:
        for annotation, value in _by_type(text, name):
            read = read_hours if name == "setup_hours" else read_share
            found[annotation] = found[annotation].given(**{name: read(value, f"`{name}`")})
    return found


def _parts(texts: list[str] | None) -> list[str]:
    """Those for all types first, so that `15%,box=10%` holds in any order."""
    parts = [part.strip() for text in texts or [] for part in text.split(",")]
    return sorted(parts, key=lambda part: "=" in part)


def _by_type(text: str, name: str) -> Iterator[tuple[AnnotationType, str]]:
    from omnicost.annotation import AnnotationType

    annotation, found, value = text.partition("=")
    if found:
        yield AnnotationType.parse(annotation, f"`{name}`"), value.strip()
    else:
        yield from ((each, text) for each in AnnotationType)


def read_team(
    annotators: int | None, hours_a_week: float, weeks: float | None, start: str | None
) -> Team | None:
    """Who labels; None where nobody is named.

    Raises:
        InputError: on a deadline or a start without annotators, or a team that cannot be.
    """
    from omnicost.amounts import read_date
    from omnicost.campaign.team import Team

    first = read_date(start, "`start`")
    if annotators is None:
        given = [n for n, v in (("`weeks`", weeks), ("`start`", start)) if v is not None]
        if given:
            raise InputError(given[0], "needs annotators", "give `annotators`, how many work")
        return None
    return Team(annotators, hours_a_week, weeks, first)
