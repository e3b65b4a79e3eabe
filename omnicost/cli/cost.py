"""`omnicost cost`: what labels cost on a data set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from omnicost.annotation import AnnotationType, Policy, listed
from omnicost.cli.shared import options
from omnicost.cli.shared.inputs import read_stats, read_times
from omnicost.cli.shared.output import new_console, plain_table, print_json

if TYPE_CHECKING:
    from rich.table import Table

    from omnicost.cost import DatasetStats, LabellingTimes, Price


def cost(
    dataset: options.Dataset = None,
    annotations: options.Annotations = None,
    policy: Annotated[
        list[str] | None, typer.Option(help="Mixture to price, as mask=0.1,point=0.9; repeats.")
    ] = None,
    images: Annotated[
        int | None, typer.Option(min=1, help="Images to label, if not all of it.")
    ] = None,
    times: options.Times = None,
    time: options.Time = None,
    wage: options.Wage = None,
    currency: options.Currency = "usd",
    list_times: Annotated[
        bool, typer.Option("--list-times", help="List published labelling times and stop.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """What labels cost: seconds per image, hours and money of each annotation type.

    Shows the arithmetic: labelling times multiplied by the classes asked (K),
    the classes present (c) and the instances (n) of an average image.

    \b
    Example:
      omnicost cost --dataset coco
      omnicost cost --dataset coco --policy mask=0.1,point=0.9 --wage 9
      omnicost cost --annotations instances.json --time mask=sam-late
      omnicost cost --list-times
    """
    if list_times:
        _list_times(as_json)
        return
    from omnicost.cost import price

    stats = read_stats(dataset, annotations, images)
    labelling_times = read_times(times, time)
    mixtures = [Policy.parse(text, "--policy") for text in policy or []]
    pure = [Policy.of({each: 1.0}) for each in listed(*mixtures)]
    prices = price([*pure, *mixtures], stats, labelling_times)
    if as_json:
        print_json(_payload(stats, labelling_times, prices, wage, currency))
    else:
        _print_report(stats, labelling_times, prices, wage, currency)


def _print_report(
    stats: DatasetStats,
    times: LabellingTimes,
    prices: list[Price],
    wage: float | None,
    currency: str,
) -> None:
    console = new_console()
    console.print(
        f"{stats.name}: {stats.images:,} images, the average one with\n"
        f"K = {stats.classes} classes to ask about, c = {stats.classes_per_image:.4g} of them "
        f"present, n = {stats.instances_per_image:.4g} instances"
    )
    console.print(f"{stats.source}\n", style="dim")
    types = listed(*(row.policy for row in prices))
    console.print(_arithmetic_table(types, stats, times))
    console.print()
    console.print(_price_table(prices, wage, currency))
    console.print(f"\n{_note(types, times)}", style="dim")


def _arithmetic_table(
    types: Sequence[AnnotationType], stats: DatasetStats, times: LabellingTimes
) -> Table:
    from omnicost.cost import seconds_per_image

    counts = "annotations x seconds each"
    table = plain_table("label", "s/image", counts, left=[counts])
    for annotation in types:
        seconds = seconds_per_image(annotation, stats, times)
        table.add_row(str(annotation), _seconds_text(seconds), _sum_text(annotation, stats, times))
    return table


def _seconds_text(seconds: float) -> str:
    return f"{seconds:,.1f}" if seconds >= 0.1 or not seconds else f"{seconds:.2g}"


def _sum_text(annotation: AnnotationType, stats: DatasetStats, times: LabellingTimes) -> str:
    from omnicost.cost import CONSTANTS, arithmetic

    return " + ".join(
        f"{_count_text(term.annotations, CONSTANTS[term.constant].noun)} x {term.seconds:g}"
        for term in arithmetic(annotation, stats, times)
        if term.annotations
    )


def _count_text(annotations: float, noun: str) -> str:
    """How many in an image, or in a hundred where an image has hardly any."""
    if annotations >= 0.1:
        return f"{annotations:.4g} {noun}"
    return f"{100 * annotations:.2g} {noun} in 100 images"


def _price_table(prices: list[Price], wage: float | None, currency: str) -> Table:
    mixed = any(len(row.policy.shares) > 1 for row in prices)
    rate, money = ["s/image"] if mixed else [], [currency] if wage is not None else []
    spread = "80% interval"
    table = plain_table("all images", *rate, "hours", spread, *money, "saving", spread)
    for row in prices:
        table.add_row(*_price_cells(row, mixed, wage))
    return table


def _price_cells(row: Price, mixed: bool, wage: float | None) -> list[str]:
    cells = [_policy_text(row.policy), *([f"{row.seconds_per_image:,.1f}"] if mixed else [])]
    cells += [_number(row.hours), " - ".join(map(_number, row.hours_interval))]
    if wage is not None:
        cells.append(_number(row.hours * wage))
    if row.seconds_per_image == 0:
        return [*cells, "", ""]
    low, high = row.saving_interval
    return [*cells, f"{_number(row.saving)}x", f"{_number(low)} - {_number(high)}"]


def _policy_text(policy: Policy) -> str:
    if len(policy.shares) == 1:
        return str(next(iter(policy)))
    return ", ".join(f"{100 * share:.3g}% {each}" for each, share in reversed(policy.shares))


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == 0 else f"{value:.1f}"


def _note(types: Sequence[AnnotationType], times: LabellingTimes) -> str:
    spread = times.project_log_sd
    paid = [each for each in types if each is not AnnotationType.NONE]
    sds = spread.as_array(paid)
    shown = f"{sds[0]:.2g}" if sds.min() == sds.max() else f"{sds.min():.2g} to {sds.max():.2g}"
    assumed = [each for each in paid if each not in spread.measured]
    origin = "measured between annotators"
    if assumed:
        which = "" if len(assumed) == len(paid) else f" for {', '.join(assumed)}"
        origin = f"an assumption{which}, which omnicost calibrate replaces"
    return (
        f"Intervals: a project's annotators differ from these times by a common factor with a "
        f"log sd of {shown} ({origin}). Saving: against masks on all images."
    )


def _payload(
    stats: DatasetStats,
    times: LabellingTimes,
    prices: list[Price],
    wage: float | None,
    currency: str,
) -> dict[str, Any]:
    from omnicost.cost import arithmetic

    return {
        "statistics": stats.model_dump(),
        "times": times.model_dump(by_alias=True),
        "arithmetic": {
            str(each): [term._asdict() for term in arithmetic(each, stats, times)]
            for each in listed(*(row.policy for row in prices))
        },
        "prices": [_price_payload(row, wage, currency) for row in prices],
    }


def _price_payload(row: Price, wage: float | None, currency: str) -> dict[str, Any]:
    free = row.seconds_per_image == 0
    payload: dict[str, Any] = {
        "policy": row.policy.as_dict(),
        "seconds_per_image": row.seconds_per_image,
        "hours": row.hours,
        "hours_interval": list(row.hours_interval),
        "saving": None if free else row.saving,
        "saving_interval": None if free else list(row.saving_interval),
    }
    if wage is not None:
        payload |= {"money": row.hours * wage, "currency": currency}
    return payload


def _list_times(as_json: bool) -> None:
    from omnicost.cost import ALTERNATIVES

    if as_json:
        print_json([row._asdict() for row in ALTERNATIVES])
        return
    texts = ("name", "per", "source")
    table = plain_table("constant", "name", "seconds", "per", "source", left=texts)
    for row in ALTERNATIVES:
        source = row.source if row.checked else f"{row.source}*"
        table.add_row(row.constant or "-", row.name, f"{row.seconds:g}", row.per, source)
    console = new_console()
    console.print(table)
    console.print(
        "\nChoose one with --time constant=name; '-' is for comparison only.\n"
        "* quoted second hand, not checked against the publication.",
        style="dim",
    )
