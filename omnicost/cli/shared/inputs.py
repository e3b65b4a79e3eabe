"""Options that several verbs read alike: which images, which labelling times."""

from __future__ import annotations

from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from omnicost.amounts import read_currency
from omnicost.cli.shared.completion import complete_datasets
from omnicost.errors import InputError

if TYPE_CHECKING:
    from omnicost.cost import DatasetStats, LabellingTimes


def _finite(wage: float | None) -> float | None:
    if wage is not None and not isfinite(wage):
        raise InputError("`wage`", f"is {wage}", "give the pay of an hour")
    return wage


DatasetOption = Annotated[
    str | None,
    typer.Option(
        help="Built-in statistics: coco, ade20k or cityscapes.", autocompletion=complete_datasets
    ),
]
IMAGES = typer.Option("--images", help="A count, a folder of pictures, or a COCO-format file.")
"""Of verbs that need it; `ImagesOption` where it may be left out."""
ImagesOption = Annotated[str | None, IMAGES]
LikeOption = Annotated[
    str | None,
    typer.Option(
        help="Two or more data sets that yours resembles, as coco,ade20k, where nothing of "
        "yours was measured."
    ),
]
AnnotationsOption = Annotated[
    Path | None, typer.Option(help="COCO-format file whose own K, c and n to use.")
]
TimesOption = Annotated[
    Path | None, typer.Option(help="YAML of labelling times, such as calibrate writes.")
]
TimeOption = Annotated[
    list[str] | None, typer.Option(help="One labelling time, as box=7.4 or mask=sam-late; repeats.")
]
WageOption = Annotated[
    float | None, typer.Option(min=0, callback=_finite, help="Pay of one hour, to show money.")
]
CurrencyOption = Annotated[str, typer.Option(callback=read_currency, help="Currency of the wage.")]


def names_of(text: str | None) -> list[str]:
    """The parts of a list such as ``coco,ade20k``; none without one."""
    return [] if text is None else [part.strip() for part in text.split(",")]


def read_stats(
    dataset: str | None, annotations: Path | None, images: int | None = None
) -> DatasetStats:
    """Statistics of a built-in data set or of a file, for another number of images if given.

    Raises:
        InputError: if both or neither are given, or on any fault of either.
    """
    from omnicost.cost import dataset_stats, stats_of_file

    if (dataset is None) == (annotations is None):
        given = "neither is given" if dataset is None else "both are given"
        raise InputError("--dataset, --annotations", given, "give one of them")
    stats = dataset_stats(dataset) if dataset is not None else stats_of_file(str(annotations))
    return stats if images is None else stats.with_images(images)


def read_times(path: Path | None, overrides: list[str] | None) -> LabellingTimes:
    """The default labelling times, those of a file, and single ones replaced.

    Raises:
        InputError, ConfigError: naming the file or option, field and value at fault.
    """
    from omnicost.cost import LabellingTimes
    from omnicost.cost.times import parse_override

    times = LabellingTimes() if path is None else LabellingTimes.from_yaml(path)
    if not overrides:
        return times
    return times.with_overrides(dict(map(parse_override, overrides)), "--time")
