"""`omnicost plan`: which images get which annotation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from omnicost.cli.shared.completion import complete_datasets, complete_types
from omnicost.cli.shared.inputs import (
    AnnotationsOption,
    CurrencyOption,
    TimeOption,
    TimesOption,
    WageOption,
    read_times,
)
from omnicost.cli.shared.output import ForceOption, JsonOption, print_json
from omnicost.cli.shared.output import console as new_console
from omnicost.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from omnicost.annotation import AnnotationType
    from omnicost.campaign.report import PlanReport
    from omnicost.campaign.team import Team
    from omnicost.cost import LabellingTimes, OverheadsByType
    from omnicost.labelling import ImageList

_PLANNING, _TEAM, _OUTPUT = "What is planned", "Bill and calendar", "Output"


def plan(
    dataset: Annotated[
        str | None,
        typer.Option(
            "--dataset",
            help="Statistics and students of coco, ade20k or cityscapes; or which of --results.",
            autocompletion=complete_datasets,
        ),
    ] = None,
    images: Annotated[
        str | None,
        typer.Option("--images", help="A count, a folder of pictures, or a COCO-format file."),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option("--budget", help="As 500h, 3days, or 12000usd with --wage."),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option("--target", help="As 95%: the cheapest way to that share of full AP."),
    ] = None,
    annotations: AnnotationsOption = None,
    results: Annotated[
        list[Path] | None,
        typer.Option(
            "--results",
            "--pilot",
            help="Rows (JSON Lines) that a sweep of yours wrote: the plan rests on them instead of "
            "the paper's. With --like, rows of data sets that it does not name are a pilot: a few "
            "students of your project beside many of others. Both names are one option; repeats.",
        ),
    ] = None,
    variant: Annotated[
        str | None, typer.Option("--variant", help="Which variant's rows of --results to use.")
    ] = None,
    like: Annotated[
        str | None,
        typer.Option(
            "--like",
            help="Two or more data sets that yours resembles, as coco,ade20k, where nothing of "
            "yours was measured.",
        ),
    ] = None,
    in_hand: Annotated[
        Path | None,
        typer.Option(
            "--in-hand",
            help="Labels that exist: an earlier manifest.csv, or a COCO-format file. Each is kept "
            "or raised, and only new ones are paid for.",
        ),
    ] = None,
    types: Annotated[
        str | None,
        typer.Option(
            "--types",
            help="What annotators can do, as point,box,mask.",
            autocompletion=complete_types,
        ),
    ] = None,
    max_hours: Annotated[
        list[str] | None,
        typer.Option("--max-hours", help="Hours there are for a type, as mask=100; repeats."),
    ] = None,
    confidence: Annotated[
        float | None,
        typer.Option("--confidence", help="Chance with which the spend fits, or the target holds."),
    ] = None,
    times: TimesOption = None,
    time: TimeOption = None,
    review: Annotated[
        list[str] | None,
        typer.Option(
            "--review",
            help="Checking, as a share of labelling time: 15% or box=10%; repeats. Assumed: 15%.",
            rich_help_panel=_TEAM,
        ),
    ] = None,
    rework: Annotated[
        list[str] | None,
        typer.Option(
            "--rework",
            help="Labelling done again, as a share of it. Assumed: 5%.",
            rich_help_panel=_TEAM,
        ),
    ] = None,
    idle: Annotated[
        list[str] | None,
        typer.Option(
            "--idle",
            help="Paid time in which nothing is labelled, as a share of it. Assumed: 10%.",
            rich_help_panel=_TEAM,
        ),
    ] = None,
    setup: Annotated[
        list[str] | None,
        typer.Option(
            "--setup",
            help="Hours before a type's first label, as 8h or mask=16h; repeats. None if absent.",
            rich_help_panel=_TEAM,
        ),
    ] = None,
    wage: WageOption = None,
    currency: CurrencyOption = "usd",
    annotators: Annotated[
        int | None,
        typer.Option(
            "--annotators", min=1, help="How many work: adds a calendar.", rich_help_panel=_TEAM
        ),
    ] = None,
    hours_a_week: Annotated[
        float,
        typer.Option("--hours-a-week", help="Paid hours of each.", rich_help_panel=_TEAM),
    ] = 40.0,
    hours_a_day: Annotated[
        float,
        typer.Option(
            "--hours-a-day", min=0.1, max=24, help="Of a day in --budget.", rich_help_panel=_TEAM
        ),
    ] = 8.0,
    weeks: Annotated[
        float | None,
        typer.Option("--weeks", help="Deadline, in weeks from the start.", rich_help_panel=_TEAM),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option("--start", help="First day, as 2026-12-01.", rich_help_panel=_TEAM),
    ] = None,
    manifest: Annotated[
        Path | None,
        typer.Option(
            "--manifest",
            help="Folder for the lists of which image gets what, with tasks for labelling tools.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    image_prefix: Annotated[
        str,
        typer.Option(
            "--image-prefix",
            help="Put before file names in tasks, as https://host/photos/ or "
            "'/data/local-files/?d=photos/' for Label Studio's local files.",
            rich_help_panel=_OUTPUT,
        ),
    ] = "",
    page: Annotated[
        Path | None,
        typer.Option("--page", help="Write the report as one .html file.", rich_help_panel=_OUTPUT),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", help="Draw the plan: .png, .svg or .pdf.", rich_help_panel=_OUTPUT),
    ] = None,
    force: ForceOption = False,
    draws: Annotated[
        int, typer.Option("--draws", min=100, max=100_000, help="Draws of what is uncertain.")
    ] = 1000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of draws and manifest.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Which images get which annotation: the most AP for a budget, or the least cost for an AP.

    Hours are all that is paid: labelling, review, rework and idle time, by
    assumed shares until you give your own or omnicost calibrate measures them.

    \b
    Example:
      omnicost plan --dataset coco --images 20000 --budget 500h --manifest out/
      omnicost plan --dataset coco --target 95% --types point,box,mask
      omnicost plan --annotations a.json --like coco,ade20k --budget 900usd --wage 9
      omnicost plan --dataset coco --images 20000 --budget 500h --annotators 6 --weeks 3
      omnicost plan --results rows.jsonl --budget 40h --confidence 0.9 --page plan.html
    """
    from omnicost import api

    inputs = [annotations, times, in_hand, *(results or []), *([Path(images)] if images else [])]
    _check_outputs(plot, page, inputs, force)
    labelling_times = read_times(times, time)
    report = api.plan(
        budget,
        target=target,
        dataset=dataset,
        annotations=annotations,
        images=images,
        results=results or None,
        variant=variant,
        like=[] if like is None else like.split(","),
        types=None if types is None else types.split(","),
        max_hours=_read_limits(max_hours or [], hours_a_day),
        confidence=confidence,
        times=labelling_times,
        overheads=_read_overheads(labelling_times, review, rework, idle, setup),
        in_hand=in_hand,
        team=_read_team(annotators, hours_a_week, weeks, start),
        wage=wage,
        currency=currency,
        hours_a_day=hours_a_day,
        draws=draws,
        seed=seed,
    )
    listed = _images(report, annotations if manifest is not None else None)
    written = []
    if manifest is not None:
        written += _write_manifest(report, listed, manifest, image_prefix, inputs)
    if plot is not None:
        from omnicost.plot.plan import plot_plan

        written += plot_plan(report.plan, plot)
    if page is not None:
        from omnicost.campaign.html import write_page

        written.append(write_page(report, page))
    if as_json:
        print_json(report.as_dict() | {"written": [str(path) for path in written]})
    else:
        _print(report, listed, written, image_prefix)


def _check_outputs(
    plot: Path | None, page: Path | None, inputs: list[Path | None], force: bool
) -> None:
    """Refuse outputs that would replace somebody's file, before any work is done."""
    from omnicost.files import refuse_to_replace

    if plot is not None:
        from omnicost.plot.style import refuse_picture

        refuse_picture(plot, "line,masks,", inputs, force)
    if page is not None:
        if page.suffix.lower() not in {".html", ".htm"}:
            raise InputError("`page`", f"{page} is no .html file", "name one, such as plan.html")
        refuse_to_replace(page, inputs=inputs, force=force)


def _read_limits(texts: list[str], hours_a_day: float) -> dict[str, float]:
    from omnicost.amounts import read_hours

    limits = {}
    for part in (part for text in texts for part in text.split(",")):
        name, found, hours = part.partition("=")
        if not found:
            problem = f"{part.strip()!r} is not type=hours"
            raise InputError("`max_hours`", problem, "write mask=100h")
        number = f"{hours.strip()}h" if hours.strip()[-1:].isdigit() else hours
        limits[name.strip()] = read_hours(number, "`max_hours`", hours_a_day)
    return limits


def _read_overheads(
    times: LabellingTimes,
    review: list[str] | None,
    rework: list[str] | None,
    idle: list[str] | None,
    setup: list[str] | None,
) -> OverheadsByType:
    """The times' own overheads, or the assumed ones, with what was given in their place."""
    from omnicost.amounts import read_hours, read_share
    from omnicost.annotation import AnnotationType
    from omnicost.cost import Overheads

    found = {kind: times.overheads.get(kind, Overheads()) for kind in AnnotationType}
    shares = {"review": review, "rework": rework, "idle": idle}
    given = [(name, part) for name, texts in shares.items() for part in _parts(texts)]
    given += [("setup_hours", part) for part in _parts(setup)]
    for name, text in given:
        for kind, value in _by_type(text, name):
            read = read_hours if name == "setup_hours" else read_share
            found[kind] = found[kind].given(**{name: read(value, f"`{name}`")})
    return found


def _parts(texts: list[str] | None) -> list[str]:
    """Those for all types first, so that `15%,box=10%` holds in any order."""
    parts = [part.strip() for text in texts or [] for part in text.split(",")]
    return sorted(parts, key=lambda part: "=" in part)


def _by_type(text: str, name: str) -> Iterator[tuple[AnnotationType, str]]:
    from omnicost.annotation import AnnotationType

    kind, found, value = text.partition("=")
    if found:
        yield AnnotationType.parse(kind, f"`{name}`"), value.strip()
    else:
        yield from ((kind, text) for kind in AnnotationType)


def _read_team(
    annotators: int | None, hours_a_week: float, weeks: float | None, start: str | None
) -> Team | None:
    from omnicost.amounts import read_date
    from omnicost.campaign.team import Team

    first = read_date(start, "`start`")
    if annotators is None:
        given = [n for n, v in (("`weeks`", weeks), ("`start`", start)) if v is not None]
        if given:
            raise InputError(given[0], "needs annotators", "give `annotators`, how many work")
        return None
    return Team(annotators, hours_a_week, weeks, first)


def _images(report: PlanReport, annotations: Path | None) -> ImageList:
    """The project's images, with categories of the annotation file where they have none."""
    from omnicost.labelling import ImageList
    from omnicost.labelling.images import read_categories

    count = report.plan.stats.images
    listed = report.images or ImageList(source="a bare count", count=count)
    return listed if annotations is None else listed.with_categories(read_categories(annotations))


def _write_manifest(
    report: PlanReport,
    listed: ImageList,
    folder: Path,
    image_prefix: str,
    inputs: list[Path | None],
) -> list[Path]:
    from omnicost.labelling import assign, write_manifest

    assigned = assign(report.plan.images, report.seed, report.held)
    done = write_manifest(folder, listed, assigned, image_prefix, inputs)
    if done.unreadable:
        known = ", ".join(done.unreadable[:3]) + (", ..." if len(done.unreadable) > 3 else "")
        count = len(done.unreadable)
        typer.echo(f"{count:,} pictures cannot be opened and stand without size: {known}", err=True)
    return done.files


def _print(report: PlanReport, listed: ImageList, written: list[Path], image_prefix: str) -> None:
    from omnicost.campaign.text import render

    console = new_console()
    console.print(render(report))
    if written:
        console.print("\nWritten", style="bold")
        for path in written:
            console.print(f"  {path}", soft_wrap=True)
    if any(path.name == "manifest.csv" for path in written):
        console.print(_hint(listed, image_prefix), style="dim")


def _hint(listed: ImageList, image_prefix: str) -> str:
    if listed.names is None:
        return (
            "The manifest has places from 1 for ids, since --images names no pictures: give a "
            "folder or a COCO-format file for names and tasks for labelling tools."
        )
    if not image_prefix:
        return (
            "HOW_TO_IMPORT.txt says how the tasks get into Label Studio and CVAT. Label Studio "
            "needs addresses: give --image-prefix, as it explains."
        )
    return "HOW_TO_IMPORT.txt says how the tasks get into Label Studio and CVAT."
