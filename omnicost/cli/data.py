"""`omnicost data`: what a data set holds, what is wrong with it, and drawing a tiny one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from omnicost.cli.shared import options
from omnicost.cli.shared.output import new_console, print_json, progress_bar
from omnicost.cli.shared.verbs import Verbs
from omnicost.errors import InputError
from omnicost.files import write_folder
from omnicost.labelling.annotators import Annotators

if TYPE_CHECKING:
    from omnicost.coco import Fault
    from omnicost.data.check import Report

data = Verbs(name="data", help="Check, count and make data sets.", no_args_is_help=True)

FolderArgument = Annotated[
    Path,
    typer.Argument(metavar="DIR", help="The unpacked data set's folder, or a COCO-format file."),
]
SplitOption = Annotated[
    str | None, typer.Option(help="train, val, all, or a file's own; left out: every split there.")
]
COUNTS = (
    "layout",
    "images",
    "  without instances",
    "labels given",
    "classes (K)",
    "classes per image (c)",
    "instances",
    "instances per image (n)",
    "crowd regions",
    "faults",
)
SHOWN = 10  # faults of a kind, unless all are asked for


@data.command()
def check(
    folder: FolderArgument,
    split: SplitOption = None,
    decode: Annotated[
        bool, typer.Option("--decode", help="Decode every picture, not only its header.")
    ] = False,
    everything: Annotated[
        bool, typer.Option("--all", help=f"List every fault, not {SHOWN} of a kind.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Say what a data set holds and every fault in it, with its id; exit code 1 if there is one.

    Looks at ids and references, masks, boxes, crowds, and at each picture's file.

    \b
    Example:
      omnicost data check ~/coco
      omnicost data check ~/ADEChallengeData2016 --split val --decode
      omnicost data check instances.json --all
    """
    from omnicost.data.check import check as check_split
    from omnicost.data.readers.layouts import splits_in

    splits = (split,) if split else splits_in(folder)
    with progress_bar("checking") as progress:
        reports = [check_split(folder, each, progress, decode) for each in splits]
    if as_json:
        print_json([_report_payload(report) for report in reports])
    else:
        _print_reports(reports, everything)
    if any(report.faults for report in reports):
        raise typer.Exit(1)


@data.command()
def stats(folder: FolderArgument, split: SplitOption = None, as_json: options.Json = False) -> None:
    """Count what labelling costs depend on: images, classes (K), per image c and n.

    Crowd regions are left out, images without an instance count. K is the label space,
    c the classes present in an average image, n its instances.

    \b
    Example:
      omnicost data stats ~/coco --split train
    """
    from omnicost.data import open_dataset
    from omnicost.data.readers.layouts import splits_in

    splits = (split,) if split else splits_in(folder)
    with progress_bar("reading") as progress:
        opened = [open_dataset(folder, each, progress=progress) for each in splits]
    counted = [dataset.stats() for dataset in opened]
    if as_json:
        print_json(
            [each.model_dump() | {"split": s} for each, s in zip(counted, splits, strict=True)]
        )
        return
    columns = [
        {
            "images": f"{each.images:,}",
            "labels given": types_line(dataset.types()),
            "c, n counted on": f"{each.measured_images or each.images:,}",
            "K": str(each.classes),
            "c": f"{each.classes_per_image:.2f}",
            "sd of c": _figure(each.classes_sd),
            "n": f"{each.instances_per_image:.2f}",
            "sd of n": _figure(each.instances_sd),
            "correlation": f"{each.correlation:.2f}",
        }
        for each, dataset in zip(counted, opened, strict=True)
    ]
    _print_table(counted[0].name, dict(zip(splits, columns, strict=True)))


@data.command()
def make(
    name: Annotated[
        str,
        typer.Argument(help="tiny-coco, tiny-ade20k, tiny-cityscapes, tiny-web or tiny-things."),
    ],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder for it.")],
    as_json: options.Json = False,
) -> None:
    """Draw one of the embedded data sets into a new folder, in COCO's layout.

    The same pictures on every machine. Sweeps draw theirs on their own.

    \b
    Example:
      omnicost data make tiny-coco tiny-coco/
    """
    from omnicost.data.tiny.disk import SPLIT_SIZES, write_coco
    from omnicost.data.tiny.world import SPECS

    if name not in SPECS:
        raise InputError(name, "no such tiny data set", f"use {', '.join(SPECS)}")
    if folder.exists():
        raise InputError(folder, "exists", "name a new folder")
    with progress_bar("drawing") as progress:
        write_folder(folder, lambda scratch: write_coco(SPECS[name], scratch, progress=progress))
    if as_json:
        print_json({"name": name, "folder": str(folder), "images": SPLIT_SIZES[name]})
    else:
        sizes = ", ".join(f"{count:,} {split}" for split, count in SPLIT_SIZES[name].items())
        typer.echo(f"{folder}: {name}, {sizes} images")


@data.command(name="import")
def import_(
    export: Annotated[
        Path, typer.Argument(metavar="EXPORT", help="A labelling tool's export: file or folder.")
    ],
    out: Annotated[Path, typer.Option(help="A new folder for the set.")],
    images: Annotated[
        Path | None, typer.Option(help="Folder of the photos; left out: the export's own.")
    ] = None,
    like: Annotated[
        Path | None, typer.Option(help="COCO file whose classes, their ids and image ids to keep.")
    ] = None,
    manifest: Annotated[
        Path | None,
        typer.Option(
            help="The plan's manifest.csv: which type each photo was given out for. It tells "
            "photos with nothing to draw from photos that nobody labelled."
        ),
    ] = None,
    annotators: Annotated[
        Annotators, typer.Option(help="Whose labels count where several labelled an image.")
    ] = Annotators.LAST,
    only_labelled: Annotated[
        bool, typer.Option("--only-labelled", help="Leave photos without a label out.")
    ] = False,
    everything: Annotated[
        bool, typer.Option("--all", help=f"List everything skipped, not {SHOWN} of a reason.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Turn a labelling tool's export into a set with given labels: any mixture of types.

    Reads Label Studio's JSON, CVAT for images 1.1, COCO (CVAT's, Roboflow's), YOLO
    detection and segmentation, LabelMe. What is skipped or changed is listed. Photos
    are linked into the new folder, or copied where links cannot be.

    \b
    Example:
      omnicost data import export.json --images photos/ --out labelled/
      omnicost data import yolo/ --images yolo/images --out labelled/
      omnicost data import cvat.xml --manifest out/manifest.csv --out labelled/
    """
    from omnicost.data.imports.photos import Photos
    from omnicost.data.imports.read import read_export
    from omnicost.data.imports.write import like_file, write_set
    from omnicost.labelling.in_hand import manifest_types

    kept = like_file(like)
    asked = {} if manifest is None else manifest_types(manifest)
    found = read_export(export, annotators)
    photos = Photos(images if images is not None else export if export.is_dir() else export.parent)
    with progress_bar("importing") as progress:
        done = write_set(found, photos, out, kept, only_labelled, progress, asked)
    if as_json:
        skipped = [each._asdict() for each in done.skipped]
        print_json({"folder": str(out)} | done._asdict() | {"skipped": skipped})
        return
    typer.echo(f"{out}: {done.images:,} images from {done.form}: {types_line(done.types)}")
    drawn = ", ".join(f"{count:,} of type {each}" for each, count in done.instances.items())
    typer.echo(f"labels: {drawn or 'none'}; classes: {len(done.classes)}")
    by_reason: dict[str, list[str]] = defaultdict(list)
    for skip in done.skipped:
        by_reason[skip.reason].append(skip.item)
    for reason, items in by_reason.items():
        print_some(f"skipped: {reason}", items, everything)


def _report_payload(report: Report) -> dict[str, Any]:
    statistics = report.statistics._asdict() if report.statistics else None
    faults = [
        {"kind": fault.name, "item": fault.item, "detail": fault.detail} for fault in report.faults
    ]
    return report._asdict() | {"statistics": statistics, "faults": faults}


def _print_reports(reports: list[Report], everything: bool) -> None:
    _print_table(reports[0].name, {report.split: _report_column(report) for report in reports})
    for report in reports:
        _print_faults(report, everything)


def _report_column(report: Report) -> dict[str, str]:
    found = report.statistics
    if found is None:
        known = {"layout": report.layout, "faults": f"{len(report.faults):,}"}
        return dict.fromkeys(COUNTS, "-") | known
    figures = (
        report.layout,
        f"{found.images:,}",
        f"{report.empty_images:,}",
        types_line(report.types),
        f"{found.classes:,}",
        f"{found.classes_per_image:.2f}",
        f"{found.instances:,}",
        f"{found.instances_per_image:.2f}",
        f"{report.crowds:,}",
        f"{len(report.faults):,}",
    )
    return dict(zip(COUNTS, figures, strict=True))


def types_line(types: dict[str, int] | None) -> str:
    """Images of each annotation type in one cell."""
    if types is None:
        return "masks"
    return ", ".join(f"{each} {images:,}" for each, images in types.items())


def _print_faults(report: Report, everything: bool) -> None:
    named: dict[str, list[Fault]] = defaultdict(list)
    for fault in report.faults:
        named[fault.name].append(fault)
    for name, faults in named.items():
        items = [f"{fault.item}: {fault.detail}" for fault in faults]
        print_some(f"{report.split}: {name}", items, everything)


def print_some(title: str, items: list[str], everything: bool) -> None:
    """A heading with a count, and the first items below it."""
    typer.echo(f"\n{title}, {len(items):,}")
    shown = items if everything else items[:SHOWN]
    for item in shown:
        typer.echo(f"  {item}")
    if len(shown) < len(items):
        typer.echo(f"  ... and {len(items) - len(shown):,} more (--all)")


def _print_table(title: str, columns: Mapping[str, Mapping[str, str]]) -> None:
    """A column for each split, whose figures are called alike."""
    from rich.table import Table

    table = Table("", title=title, title_justify="left", box=None, pad_edge=False)
    for split in columns:
        table.add_column(split, justify="right")
    for name in next(iter(columns.values())):
        table.add_row(name, *(figures[name] for figures in columns.values()))
    new_console().print(table)


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
