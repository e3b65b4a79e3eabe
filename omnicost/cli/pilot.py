"""`omnicost pilot`: what to measure first."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from omnicost.annotation import AnnotationType
from omnicost.cli.shared import options
from omnicost.cli.shared.inputs import names_of, read_overheads, read_stats, read_times
from omnicost.cli.shared.output import new_console, print_json
from omnicost.errors import InputError
from omnicost.files import refuse_to_replace, write_text

if TYPE_CHECKING:
    from omnicost.campaign.report import Pay
    from omnicost.labelling import ImageList
    from omnicost.plan.pilot import Pilot

CARD = "pilot.yaml"


def pilot(
    images: Annotated[str, options.IMAGES],
    dataset: options.Dataset = None,
    annotations: options.Annotations = None,
    count: Annotated[int, typer.Option(min=1, help="How many images get masks.")] = 100,
    like: options.Like = None,
    times: options.Times = None,
    time: options.Time = None,
    wage: options.Wage = None,
    currency: options.Currency = "usd",
    out: Annotated[
        Path | None,
        options.output(help="Folder for the list of images, labelling tasks and the card."),
    ] = None,
    image_prefix: options.ImagePrefix = "",
    force: options.Force = False,
    seed: Annotated[int, typer.Option(min=0, help="Which images.")] = 0,
    as_json: options.Json = False,
) -> None:
    """What to measure first, when nothing was: masks on some images, and a teacher, no student.

    The teacher tells how good pseudo-masks of every weak type are, in minutes of one GPU;
    plan reads that. The images are the first that plans of the same seed give masks.
    Statistics are those of a data set like yours, or of a file of your own.

    \b
    Example:
      omnicost pilot --images photos/ --dataset coco --out pilot/
      omnicost pilot --images 20000 --annotations some.json --count 200 --wage 9
    """
    import numpy as np

    from omnicost.campaign.report import Pay
    from omnicost.labelling import assign, read_images
    from omnicost.plan.pilot import make_pilot

    listed = read_images(images)
    if count > listed.count:
        raise InputError("`count`", f"{count:,} of {listed.count:,} images", "give fewer")
    stats = read_stats(dataset, annotations, listed.count)
    allocation = np.zeros(len(AnnotationType), np.int64)
    allocation[[0, AnnotationType.MASK.strength]] = listed.count - count, count
    labelling_times = read_times(times, time)
    pay = None if wage is None else Pay(wage, currency)
    made = make_pilot(
        assign(allocation, seed),
        stats,
        labelling_times,
        overheads=read_overheads(labelling_times),
        like=names_of(like),
        seed=seed,
    )
    written = [] if out is None else _write(made, listed, out, image_prefix, annotations, force)
    if as_json:
        told = made.as_dict() | {"written": [str(path) for path in written]}
        if pay is not None:
            told |= {"money": made.hours * pay.wage_per_hour, "currency": pay.currency}
        print_json(told)
    else:
        _print(made, pay)
        _print_next(images, out, written)


def _write(
    made: Pilot,
    listed: ImageList,
    folder: Path,
    image_prefix: str,
    annotations: Path | None,
    force: bool,
) -> list[Path]:
    from omnicost.labelling import write_manifest

    card = folder / CARD
    refuse_to_replace(card, inputs=[annotations], force=force)
    done = write_manifest(folder, listed, made.images, image_prefix, [annotations])
    write_text(card, card_text(folder))
    return [*done.files, card]


def card_text(folder: Path) -> str:
    """The card that measures the pilot's pseudo-masks."""
    import json
    from shlex import quote

    from omnicost.plan.pilot import SHARES

    shares = ", ".join(f"{share:g}" for share in SHARES)
    labelled = str(folder.resolve() / "labelled")
    return (
        "# Claim: how good pseudo-masks of every weak type are, before any student is trained.\n"
        "# Expect: F1 at IoU 0.5 by annotation type, teachers tuned on none, a quarter and half.\n"
        "# Takes: minutes of one GPU.\n"
        f"# Run: omnicost sweep {quote(str(folder / CARD))}\n"
        "base: paper\n"
        "name: pilot\n"
        "measure: teacher\n"
        # Teachers leave images to tell how good they are, so none need be set aside for that.
        f"datasets: [{{name: pilot, root: {json.dumps(labelled)}, train: all, val: all}}]\n"
        f"grid: {{mask_shares: [{shares}]}}\n"
    )


def _print(made: Pilot, pay: Pay | None) -> None:
    """What the pilot costs and decides."""
    from rich.table import Table

    console = new_console()
    low, high = made.hours_interval
    money = "" if pay is None else f", {pay.of(made.hours)}"
    console.print(f"Masks on {made.count:,} of {len(made.images):,} images", style="bold")
    console.print(f"{made.hours:.1f} h{money} at mean times (80%: {low:.1f} to {high:.1f} h)\n")
    table = Table("label", "worth today", "after the pilot", box=None, pad_edge=False)
    for one in made.beliefs:
        table.add_row(str(one.weak), *(f"{a:.0%} to {b:.0%}" for a, b in (one.now, one.then)))
    console.print(table)
    console.print(
        "\nWorth of an image with that label, a masked one being 100%; 80% intervals. Today it is "
        f"what {', '.join(made.like)} had; after the pilot, about as wide as shown. That decides "
        "which label to buy, and how many masks beside it.\n"
    )


def _print_next(images: str, folder: Path | None, written: list[Path]) -> None:
    """What was written, and the steps from here to a plan."""
    from shlex import quote

    console = new_console()
    for path in written:
        console.print(f"  {path}", soft_wrap=True)
    if folder is None:
        console.print("Nothing is written yet: --out pilot/ writes images, tasks and the card.")
    place = folder or Path("pilot")
    card, masks, manifest = (
        quote(str(place / name)) for name in (CARD, "labelled/instances.json", "manifest.csv")
    )
    steps = (
        f"draw the masks; export them as COCO to {place}/labelled/instances.json, the pictures to "
        f"{place}/labelled/images/",
        f"omnicost sweep {card}",
        f"omnicost plan --annotations {masks} --results results/pilot.teacher.jsonl "
        f"--images {quote(images)} --in-hand {manifest} --budget 500h (or yours)",
    )
    console.print("Then")
    for number, step in enumerate(steps, start=1):
        console.print(f"  {number}. {step}", soft_wrap=True)
