"""`omnicost plan`: which images get which annotation."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from omnicost.cli.shared import options
from omnicost.cli.shared.completion import complete_datasets, complete_types
from omnicost.cli.shared.inputs import (
    names_of,
    read_limits,
    read_overheads,
    read_team,
    read_times,
)
from omnicost.cli.shared.output import new_console, print_json
from omnicost.errors import InputError
from omnicost.files import refuse_to_replace

if TYPE_CHECKING:
    from omnicost.campaign.report import PlanReport
    from omnicost.labelling import ImageList

_billed = partial(typer.Option, rich_help_panel="Bill and calendar")


def plan(
    dataset: Annotated[
        str | None,
        typer.Option(
            help="Statistics and students of coco, ade20k or cityscapes; or which of --results.",
            autocompletion=complete_datasets,
        ),
    ] = None,
    images: options.Images = None,
    budget: Annotated[
        str | None, typer.Option(help="As 500h, 3days, or 12000usd with --wage.")
    ] = None,
    target: Annotated[
        str | None, typer.Option(help="As 95%: the cheapest way to that share of full AP.")
    ] = None,
    annotations: options.Annotations = None,
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
        str | None, typer.Option(help="Which variant's rows of --results to use.")
    ] = None,
    like: options.Like = None,
    in_hand: Annotated[
        Path | None,
        typer.Option(
            help="Labels that exist: an earlier manifest.csv, or a COCO-format set or file. Each "
            "is kept or raised, and only new ones are paid for."
        ),
    ] = None,
    masks_first: Annotated[
        Path | None,
        typer.Option(
            help="Which images get masks first: review.csv of omnicost review; else a seeded draw."
        ),
    ] = None,
    types: Annotated[
        str | None,
        typer.Option(
            help="What annotators can do, as point,box,mask.", autocompletion=complete_types
        ),
    ] = None,
    max_hours: Annotated[
        list[str] | None, typer.Option(help="Hours there are for a type, as mask=100; repeats.")
    ] = None,
    confidence: Annotated[
        float | None, typer.Option(help="Chance with which the spend fits, or the target holds.")
    ] = None,
    times: options.Times = None,
    time: options.Time = None,
    review: Annotated[
        list[str] | None,
        _billed(
            help="Checking, as a share of labelling time: 15% or box=10%; repeats. Assumed: 15%."
        ),
    ] = None,
    rework: Annotated[
        list[str] | None, _billed(help="Labelling done again, as a share of it. Assumed: 5%.")
    ] = None,
    idle: Annotated[
        list[str] | None,
        _billed(help="Paid time in which nothing is labelled, as a share of it. Assumed: 10%."),
    ] = None,
    setup: Annotated[
        list[str] | None,
        _billed(
            help="Hours before a type's first label, as 8h or mask=16h; repeats. None if absent."
        ),
    ] = None,
    wage: options.Wage = None,
    currency: options.Currency = "usd",
    annotators: Annotated[
        int | None, _billed(min=1, help="How many work: adds a calendar.")
    ] = None,
    hours_a_week: Annotated[float, _billed(help="Paid hours of each.")] = 40.0,
    hours_a_day: Annotated[float, _billed(min=0.1, max=24, help="Of a day in --budget.")] = 8.0,
    weeks: Annotated[float | None, _billed(help="Deadline, in weeks from the start.")] = None,
    start: Annotated[str | None, _billed(help="First day, as 2026-12-01.")] = None,
    manifest: Annotated[
        Path | None,
        options.output(
            help="Folder for the lists of which image gets what, with tasks for labelling tools."
        ),
    ] = None,
    image_prefix: options.ImagePrefix = "",
    page: Annotated[Path | None, options.output(help="Write the report as one .html file.")] = None,
    plot: Annotated[Path | None, options.output(help="Draw the plan: .png, .svg or .pdf.")] = None,
    force: options.Force = False,
    draws: Annotated[
        int, typer.Option(min=100, max=100_000, help="Draws of what is uncertain.")
    ] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Of draws and manifest.")] = 0,
    as_json: options.Json = False,
) -> None:
    """Which images get which annotation: the most AP for a budget, or the least cost for an AP.

    Hours are all that is paid: labelling, review, rework and idle time, by
    assumed shares until you give your own or omnicost calibrate measures them.

    \b
    Example:
      omnicost plan --dataset coco --images 20000 --budget 500h --manifest out/
      omnicost plan --dataset coco --target 95% --types point,box,mask
      omnicost plan --annotations a.json --like coco --budget 900usd --wage 9
      omnicost plan --dataset coco --budget 500h --annotators 6 --weeks 3
      omnicost plan --results rows.jsonl --budget 40h --page plan.html
    """
    from omnicost import api

    inputs = [annotations, times, in_hand, masks_first, *(results or [])]
    inputs += [Path(images)] if images else []
    outputs = _Outputs(manifest, image_prefix, plot, page, inputs)
    _check(outputs, force)
    labelling_times = read_times(times, time)
    report = api.plan(
        budget,
        target=target,
        dataset=dataset,
        annotations=annotations,
        images=images,
        results=results or None,
        variant=variant,
        like=names_of(like),
        types=names_of(types) or None,
        max_hours=read_limits(max_hours, hours_a_day),
        confidence=confidence,
        times=labelling_times,
        overheads=read_overheads(labelling_times, review, rework, idle, setup),
        in_hand=in_hand,
        masks_first=masks_first,
        team=read_team(annotators, hours_a_week, weeks, start),
        wage=wage,
        currency=currency,
        hours_a_day=hours_a_day,
        draws=draws,
        seed=seed,
    )
    listed = _images(report, annotations if manifest is not None else None)
    written = _write(outputs, report, listed)
    if as_json:
        print_json(report.as_dict() | {"written": [str(path) for path in written]})
    else:
        _print(report, listed, written, image_prefix)


class _Outputs(NamedTuple):
    """What is to be written, and the files that it must not replace."""

    manifest: Path | None
    image_prefix: str
    plot: Path | None
    page: Path | None
    inputs: list[Path | None]


def _check(outputs: _Outputs, force: bool) -> None:
    """Refuse outputs that would replace somebody's file, before any work is done."""
    page, inputs = outputs.page, outputs.inputs
    if outputs.plot is not None:
        from omnicost.plot.style import refuse_picture

        refuse_picture(outputs.plot, "line,masks,", inputs, force)
    if page is not None:
        if page.suffix.lower() not in {".html", ".htm"}:
            raise InputError("`page`", f"{page} is no .html file", "name one, such as plan.html")
        refuse_to_replace(page, inputs=inputs, force=force)


def _images(report: PlanReport, annotations: Path | None) -> ImageList:
    """The project's images, with categories of the annotation file where they have none."""
    from omnicost.labelling import ImageList
    from omnicost.labelling.images import read_categories

    count = report.plan.stats.images
    listed = report.images or ImageList(source="a bare count", count=count)
    return listed if annotations is None else listed.with_categories(read_categories(annotations))


def _write(outputs: _Outputs, report: PlanReport, listed: ImageList) -> list[Path]:
    """Everything that was asked for; returns the files."""
    written = []
    if outputs.manifest is not None:
        written += _write_manifest(outputs.manifest, outputs, report, listed)
    if outputs.plot is not None:
        from omnicost.plot.plan import plot_plan

        written += plot_plan(report.plan, outputs.plot)
    if outputs.page is not None:
        from omnicost.campaign.html import write_page

        written.append(write_page(report, outputs.page))
    return written


def _write_manifest(
    folder: Path, outputs: _Outputs, report: PlanReport, listed: ImageList
) -> list[Path]:
    from omnicost.labelling import write_manifest

    assigned = report.assigned()
    done = write_manifest(folder, listed, assigned, outputs.image_prefix, outputs.inputs)
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
