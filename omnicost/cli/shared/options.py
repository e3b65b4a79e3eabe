"""Options that several verbs have: an alias each, so that they read and complete alike."""

from __future__ import annotations

from functools import partial
from math import isfinite
from pathlib import Path
from typing import Annotated

import typer

from omnicost.amounts import read_currency
from omnicost.cli.shared.completion import complete_datasets
from omnicost.errors import InputError


def _finite(wage: float | None) -> float | None:
    if wage is not None and not isfinite(wage):
        raise InputError("`wage`", f"is {wage}", "give the pay of an hour")
    return wage


# --- what is labelled, and at what cost

Dataset = Annotated[
    str | None,
    typer.Option(
        help="Built-in statistics: coco, ade20k or cityscapes.", autocompletion=complete_datasets
    ),
]
Annotations = Annotated[
    Path | None, typer.Option(help="COCO-format file whose own K, c and n to use.")
]
IMAGES = typer.Option("--images", help="A count, a folder of pictures, or a COCO-format file.")
Images = Annotated[str | None, IMAGES]
Like = Annotated[
    str | None,
    typer.Option(
        help="Two or more data sets that yours resembles, as coco,ade20k, where nothing of "
        "yours was measured."
    ),
]
Times = Annotated[
    Path | None, typer.Option(help="YAML of labelling times, such as calibrate writes.")
]
Time = Annotated[
    list[str] | None, typer.Option(help="One labelling time, as box=7.4 or mask=sam-late; repeats.")
]
Wage = Annotated[
    float | None, typer.Option(min=0, callback=_finite, help="Pay of one hour, to show money.")
]
Currency = Annotated[str, typer.Option(callback=read_currency, help="Currency of the wage.")]

# --- a data set that a sweep's cell learnt from, and the cell

Data = Annotated[str, typer.Argument(help="The data set: its folder, or a tiny set's name.")]
Split = Annotated[str, typer.Option(help="Split of the data set.")]
Root = Annotated[Path | None, typer.Option(help="Folder that a tiny set is drawn in.")]
Cell = Annotated[
    str | None, typer.Option(help="A sweep's finished cell, or the source of its row.")
]
Store = Annotated[Path, typer.Option(help="The sweep's store, to find the cell in.")]

# --- what computes stages

Stages = Annotated[
    Path, typer.Option(help="Folder of finished stages, shared by all that computes.")
]
Changes = Annotated[
    list[str] | None, typer.Option("--set", help="A change, as recipe.teacher.steps=100; repeats.")
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Count, price, say what is missing; run nothing.")
]
Address = Annotated[str | None, typer.Option(help="Ray cluster; this machine if absent.")]
Cpus = Annotated[
    int | None, typer.Option(min=1, help="CPUs of this machine to use; all if absent.")
]

# --- output

output = partial(typer.Option, rich_help_panel="Output")
ImagePrefix = Annotated[
    str,
    output(
        help="Put before file names in tasks, as https://host/photos/ or "
        "'/data/local-files/?d=photos/' for Label Studio's local files."
    ),
]
Force = Annotated[
    bool, typer.Option("--force", help="Replace inputs, and files that omnicost did not write.")
]
Json = Annotated[
    bool, typer.Option("--json", help="Print machine-readable JSON instead of tables.")
]
