"""`omnicost pilot`: what to measure first."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from omnicost.cli.shared.inputs import (
    AnnotationsOption,
    CurrencyOption,
    DatasetOption,
    TimeOption,
    TimesOption,
    WageOption,
    read_stats,
    read_times,
)
from omnicost.cli.shared.output import ForceOption, JsonOption, print_json
from omnicost.cli.shared.output import console as new_console

if TYPE_CHECKING:
    from omnicost.cost import OverheadsByType
    from omnicost.labelling import ImageList
    from omnicost.plan.pilot import Pilot

CARD = "pilot.yaml"


def pilot(
    images: Annotated[
        str,
        typer.Option("--images", help="A count, a folder of pictures, or a COCO-format file."),
    ],
    dataset: DatasetOption = None,
    annotations: AnnotationsOption = None,
    count: Annotated[int, typer.Option("--count", help="How many images get masks.")] = 100,
    like: Annotated[
        str | None, typer.Option("--like", help="Data sets that yours resembles, as coco,ade20k.")
    ] = None,
    times: TimesOption = None,
    time: TimeOption = None,
    wage: WageOption = None,
    currency: CurrencyOption = "usd",
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for the list of images, labelling tasks and the card."),
    ] = None,
    image_prefix: Annotated[
        str, typer.Option("--image-prefix", help="Put before file names in tasks.")
    ] = "",
    force: ForceOption = False,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Which images.")] = 0,
    as_json: JsonOption = False,
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

    from omnicost.annotation import AnnotationType
    from omnicost.cost import Overheads
    from omnicost.errors import InputError
    from omnicost.labelling import assign, read_images
    from omnicost.plan.pilot import make_pilot

    listed = read_images(images)
    if count > listed.count:
        raise InputError("`count`", f"{count:,} of {listed.count:,} images", "give fewer")
    stats = read_stats(dataset, annotations, listed.count)
    allocation = np.zeros(len(AnnotationType), np.int64)
    allocation[[0, AnnotationType.MASK.strength]] = listed.count - count, count
    labelling_times = read_times(times, time)
    paid: OverheadsByType = {
        kind: labelling_times.overheads.get(kind, Overheads()) for kind in AnnotationType
    }
    names = () if like is None else tuple(name.strip().lower() for name in like.split(","))
    made = make_pilot(
        assign(allocation, seed), stats, labelling_times, overheads=paid, like=names, seed=seed
    )
    written = [] if out is None else _write(made, listed, out, image_prefix, annotations, force)
    if as_json:
        pay = {} if wage is None else {"money": made.hours * wage, "currency": currency}
        print_json(made.as_dict() | pay | {"written": [str(path) for path in written]})
    else:
        _print(made, wage, currency, out or Path("pilot"), written)


def _write(
    made: Pilot,
    listed: ImageList,
    folder: Path,
    image_prefix: str,
    annotations: Path | None,
    force: bool,
) -> list[Path]:
    from omnicost.files import refuse_to_replace, write_text
    from omnicost.labelling import write_manifest

    card = folder / CARD
    refuse_to_replace(card, inputs=[annotations], force=force)
    done = write_manifest(folder, listed, made.images, image_prefix, [annotations])
    write_text(card, card_text(folder))
    return [*done.files, card]


def card_text(folder: Path) -> str:
    """The card that measures the pilot's pseudo-masks."""
    from omnicost.plan.pilot import SHARES

    shares = ", ".join(f"{share:g}" for share in SHARES)
    return (
        "# Claim: how good pseudo-masks of every weak type are, before any student is trained.\n"
        "# Expect: F1 at IoU 0.5 by annotation type, teachers tuned on none, a quarter and half.\n"
        "# Takes: minutes of one GPU.\n"
        f"# Run: omnicost sweep {folder / CARD}\n"
        "base: paper\n"
        "name: pilot\n"
        "measure: teacher\n"
        f"datasets: [{{name: pilot, root: {folder.resolve() / 'labelled'}}}]\n"
        f"grid: {{mask_shares: [{shares}]}}\n"
    )


def _print(
    made: Pilot, wage: float | None, currency: str, folder: Path, written: list[Path]
) -> None:
    from rich.table import Table

    console = new_console()
    low, high = made.hours_interval
    money = "" if wage is None else f", {made.hours * wage:,.0f} {currency}"
    console.print(
        f"Masks on {made.count:,} of {len(made.images):,} images: "
        f"{made.hours:.1f} h{money} at mean times (80%: {low:.1f} to {high:.1f} h)\n"
    )
    table = Table("label", "worth today", "after the pilot", box=None, pad_edge=False)
    for one in made.beliefs:
        table.add_row(str(one.weak), *(f"{a:.0%} to {b:.0%}" for a, b in (one.now, one.then)))
    console.print(table)
    console.print(
        f"\nWorth of an image with that label, a masked one being 100%; 80% intervals. Today it is "
        f"what {', '.join(made.like)} had; after the pilot, about as wide as shown. That decides "
        "which label to buy, and how many masks beside it.\n"
    )
    for path in written:
        console.print(f"  {path}", soft_wrap=True)
    console.print(
        f"Then\n  1. draw the masks, and export them as COCO to {folder}/labelled/instances.json, "
        f"the pictures in {folder}/labelled/images/\n"
        f"  2. omnicost sweep {folder}/{CARD}\n"
        f"  3. omnicost plan --annotations {folder}/labelled/instances.json --results "
        f"results/pilot.teacher.jsonl --images ... --budget ... --in-hand {folder}/manifest.csv",
        soft_wrap=True,
    )
