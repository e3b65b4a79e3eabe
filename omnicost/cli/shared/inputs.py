"""What several verbs read alike: statistics, labelling times, a finished cell's data set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from omnicost.errors import InputError
from omnicost.progress import Progress, silent

if TYPE_CHECKING:
    from omnicost.cost import DatasetStats, LabellingTimes
    from omnicost.data import Dataset


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


def open_data_of(
    cell: str | None,
    store: Path,
    fingerprint: str,
    data: str,
    split: str,
    root: Path | None,
    progress: Progress = silent,
) -> Dataset:
    """The data set; that of a cell from where its sweep keeps it converted, or drawn.

    Args:
        fingerprint: of what the cell was trained on; not read without a cell.

    Raises:
        InputError: if the cell was trained on something else.
    """
    from omnicost.data import open_dataset

    cache = store / "data" if cell else None
    dataset = open_dataset(data, split, root=root, cache=cache, progress=progress)
    if cell and fingerprint != dataset.fingerprint:
        raise InputError(data, f"is not what {cell} was trained on", "name the sweep's data set")
    return dataset
