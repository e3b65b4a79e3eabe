"""`omnicost plan`: which images get which annotation."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from omnicost.cli.inputs import (
    AnnotationsOption,
    CurrencyOption,
    DatasetOption,
    TimeOption,
    TimesOption,
    WageOption,
    read_stats,
    read_times,
)
from omnicost.cli.output import JsonOption, print_json
from omnicost.errors import InputError

if TYPE_CHECKING:
    from omnicost.annotation import AnnotationType
    from omnicost.cost import DatasetStats, LabellingTimes
    from omnicost.labelling import ImageList
    from omnicost.plan import Plan
    from omnicost.results import Row


def plan(
    dataset: DatasetOption = None,
    images: Annotated[
        str | None,
        typer.Option("--images", help="A count, a folder of pictures, or a COCO-format file."),
    ] = None,
    budget: Annotated[
        str | None, typer.Option("--budget", help="As 500h, or 12000usd with --wage.")
    ] = None,
    target: Annotated[
        str | None,
        typer.Option("--target", help="As 95%: the cheapest way to that share of full AP."),
    ] = None,
    annotations: AnnotationsOption = None,
    results: Annotated[
        list[Path] | None,
        typer.Option(
            "--results", "--pilot", help="Your sweep's rows; a pilot's with --like. Repeats."
        ),
    ] = None,
    recipe: Annotated[
        str | None, typer.Option("--recipe", help="Which recipe's rows of --results to use.")
    ] = None,
    like: Annotated[
        str | None,
        typer.Option("--like", help="Data sets that yours resembles, as coco,ade20k."),
    ] = None,
    types: Annotated[
        str | None, typer.Option("--types", help="What annotators can do, as point,box,mask.")
    ] = None,
    max_hours: Annotated[
        list[str] | None,
        typer.Option("--max-hours", help="Hours there are for a type, as mask=100; repeats."),
    ] = None,
    confidence: Annotated[
        float | None, typer.Option("--confidence", help="Chance with which the spend must fit.")
    ] = None,
    times: TimesOption = None,
    time: TimeOption = None,
    wage: WageOption = None,
    currency: CurrencyOption = "usd",
    manifest: Annotated[
        Path | None,
        typer.Option("--manifest", help="Folder for the lists of which image gets what."),
    ] = None,
    image_prefix: Annotated[
        str, typer.Option("--image-prefix", help="Put before names in Label Studio tasks.")
    ] = "",
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Draw the plan: .png, .svg or .pdf.")
    ] = None,
    draws: Annotated[
        int, typer.Option("--draws", min=100, max=100_000, help="Draws of what is uncertain.")
    ] = 1000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of draws and manifest.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Which images get which annotation: the most AP for a budget, or the least cost for an AP.

    \b
    Example:
      omnicost plan --dataset coco --images 20000 --budget 500h --manifest out/
      omnicost plan --dataset coco --target 95% --types point,box,mask
      omnicost plan --annotations a.json --like coco,ade20k --budget 900usd --wage 9
      omnicost plan --results rows.jsonl --budget 40h --confidence 0.9 --plot p.png
    """
    from omnicost.labelling import ImageList, read_images
    from omnicost.labelling.images import read_categories
    from omnicost.plan import Question, make_plan

    budget_hours = None if budget is None else read_budget(budget, wage)
    question = Question(
        budget_hours=budget_hours,
        target=None if target is None else read_share(target),
        confidence=confidence,
        max_hours=_read_limits(max_hours or []),
    )
    if plot is not None:
        from omnicost.plot.style import check_format

        check_format(plot)
    labelling_times = read_times(times, time)
    rows = _read_results(results or [], recipe)
    listed = None if images is None else read_images(images)
    stats = _statistics(dataset, annotations, rows, labelling_times)
    if listed is not None:
        stats = stats.with_images(listed.count)
    made = make_plan(
        question,
        stats,
        labelling_times,
        dataset=dataset,
        rows=rows,
        like=[] if like is None else like.split(","),
        types=None if types is None else _read_types(types),
        draws=draws,
        seed=seed,
    )
    if listed is None:
        listed = ImageList(source="a bare count", count=made.stats.images)
    if annotations is not None and manifest is not None:
        listed = listed.with_categories(read_categories(annotations))
    inputs = [annotations, times, *(results or []), *([Path(images)] if images else [])]
    written = _write(made, listed, manifest, image_prefix, plot, seed, inputs)
    if as_json:
        pay = {} if wage is None else {"money": made.hours * wage, "currency": currency}
        print_json(made.as_dict() | pay | {"written": [str(path) for path in written]})
    else:
        _print(made, wage, currency, listed, written, image_prefix)


def read_budget(text: str, wage: float | None) -> float:
    """Hours of a budget such as ``500h``, or ``12000usd`` at a wage.

    Raises:
        InputError: if it is neither, or money without a wage.
    """
    found = re.fullmatch(r"([0-9][0-9_,]*\.?[0-9]*)\s*([^\d\s.,]*)", text.strip())
    if found is None:
        raise InputError("--budget", f"{text!r} is no amount", "write 500h, or 12000usd")
    amount = float(found[1].replace(",", "").replace("_", ""))
    unit = found[2].lower()
    if unit in {"h", "hour", "hours"}:
        return amount
    if not unit:
        raise InputError("--budget", f"{text!r} has no unit", f"write {text}h, or {text}usd")
    if not wage:
        raise InputError("--budget", f"{text!r} is money", "give --wage, the pay of one hour")
    return amount / wage


def read_share(text: str) -> float:
    """A share of full supervision such as ``95%`` or ``0.95``.

    Raises:
        InputError: if it is neither.
    """
    number = text.strip().removesuffix("%")
    try:
        value = float(number)
    except ValueError:
        raise InputError("--target", f"{text!r} is no share", "write 95%") from None
    if not text.strip().endswith("%") and value > 1:
        raise InputError("--target", f"{text!r} is over 1", f"write {number}%")
    return value / 100 if text.strip().endswith("%") else value


def _read_types(text: str) -> list[AnnotationType]:
    from omnicost.annotation import AnnotationType

    return [AnnotationType.parse(name, "--types") for name in text.split(",")]


def _read_limits(texts: list[str]) -> dict[AnnotationType, float]:
    from omnicost.annotation import AnnotationType

    limits = {}
    for text in texts:
        for part in text.split(","):
            name, _, hours = part.partition("=")
            kind = AnnotationType.parse(name, "--max-hours")
            try:
                limits[kind] = float(hours.strip().removesuffix("h"))
            except ValueError:
                problem = f"{part.strip()!r} is not type=hours"
                raise InputError("--max-hours", problem, "write mask=100") from None
    return limits


def _read_results(paths: list[Path], recipe: str | None) -> list[Row] | None:
    from omnicost.results import read_rows

    if not paths:
        return None
    rows = [row for path in paths for row in read_rows(path)]
    if recipe is None:
        return rows
    kept = [row for row in rows if row.recipe == recipe]
    if not kept:
        known = ", ".join(sorted({row.recipe for row in rows}))
        raise InputError("--recipe", f"no row has {recipe!r}", f"use {known}")
    return kept


def _statistics(
    dataset: str | None,
    annotations: Path | None,
    rows: list[Row] | None,
    times: LabellingTimes,
) -> DatasetStats:
    """Statistics of a file, a built-in data set, or the rows' own data set, in this order."""
    from omnicost.cost import BUILT_IN
    from omnicost.plan import statistics_from_rows

    if annotations is not None:
        return read_stats(None, annotations)
    if rows is not None and dataset not in BUILT_IN:
        return statistics_from_rows(rows, dataset, times)
    return read_stats(dataset, None)


def _write(
    made: Plan,
    listed: ImageList,
    manifest: Path | None,
    image_prefix: str,
    plot: Path | None,
    seed: int,
    inputs: list[Path | None],
) -> list[Path]:
    written = []
    if manifest is not None:
        from omnicost.labelling import assign, write_manifest

        done = write_manifest(
            manifest, listed, assign(made.images, seed), image_prefix, inputs=inputs
        )
        written += done.files
        _warn_unreadable(done.unreadable)
    if plot is not None:
        from omnicost.plot.plan import plot_plan

        written += plot_plan(made, plot)
    return written


def _warn_unreadable(names: tuple[str, ...]) -> None:
    if names:
        known = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
        typer.echo(
            f"{len(names):,} pictures cannot be opened and stand without size: {known}", err=True
        )


def _print(
    made: Plan,
    wage: float | None,
    currency: str,
    listed: ImageList,
    written: list[Path],
    image_prefix: str,
) -> None:
    from rich.console import Console

    from omnicost.plan.page import Pay, render

    console = Console(highlight=False)
    console.print(render(made, None if wage is None else Pay(wage, currency)))
    if written:
        console.print("\n[bold]Written[/bold]")
        for path in written:
            console.print(f"  {path}", soft_wrap=True, markup=False)
    if any(path.name == "manifest.csv" for path in written):
        console.print(f"[dim]{_hint(listed, image_prefix)}[/dim]")


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
