"""`omnicost plan`: which images get which annotation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import typer

from omnicost.cli.shared import planning
from omnicost.cli.shared.inputs import (
    AnnotationsOption,
    CurrencyOption,
    ImagesOption,
    LikeOption,
    TimeOption,
    TimesOption,
    WageOption,
    names_of,
    read_times,
)
from omnicost.cli.shared.output import ForceOption, ImagePrefixOption, JsonOption, print_json
from omnicost.cli.shared.output import console as new_console
from omnicost.errors import InputError

if TYPE_CHECKING:
    from omnicost.campaign.report import PlanReport
    from omnicost.labelling import ImageList


def plan(
    dataset: planning.StudentsOption = None,
    images: ImagesOption = None,
    budget: planning.BudgetOption = None,
    target: planning.TargetOption = None,
    annotations: AnnotationsOption = None,
    results: planning.ResultsOption = None,
    variant: planning.VariantOption = None,
    like: LikeOption = None,
    in_hand: planning.InHandOption = None,
    masks_first: planning.MasksFirstOption = None,
    types: planning.TypesOption = None,
    max_hours: planning.MaxHoursOption = None,
    confidence: planning.ConfidenceOption = None,
    times: TimesOption = None,
    time: TimeOption = None,
    review: planning.ReviewOption = None,
    rework: planning.ReworkOption = None,
    idle: planning.IdleOption = None,
    setup: planning.SetupOption = None,
    wage: WageOption = None,
    currency: CurrencyOption = "usd",
    annotators: planning.AnnotatorsOption = None,
    hours_a_week: planning.HoursAWeekOption = 40.0,
    hours_a_day: planning.HoursADayOption = 8.0,
    weeks: planning.WeeksOption = None,
    start: planning.StartOption = None,
    manifest: planning.ManifestOption = None,
    image_prefix: ImagePrefixOption = "",
    page: planning.PageOption = None,
    plot: planning.PlotOption = None,
    force: ForceOption = False,
    draws: planning.DrawsOption = 1000,
    seed: planning.PlanSeedOption = 0,
    as_json: JsonOption = False,
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
        max_hours=planning.read_limits(max_hours, hours_a_day),
        confidence=confidence,
        times=labelling_times,
        overheads=planning.read_overheads(labelling_times, review, rework, idle, setup),
        in_hand=in_hand,
        masks_first=masks_first,
        team=planning.read_team(annotators, hours_a_week, weeks, start),
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
    from omnicost.files import refuse_to_replace

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
