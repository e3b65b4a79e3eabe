"""What options say and name: statistics, labelling times and overheads, teams, data sets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from omnicost.amounts import read_date, read_hours, read_share
from omnicost.annotation import AnnotationType
from omnicost.errors import InputError
from omnicost.progress import Progress, silent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from omnicost.campaign.team import Team
    from omnicost.cost import DatasetStats, LabellingTimes, OverheadsByType
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


def read_limits(texts: list[str] | None, hours_a_day: float) -> dict[str, float]:
    """Hours by type from ``--max-hours``.

    Raises:
        InputError: naming what cannot be read.
    """
    limits = {}
    for part in (part for text in texts or [] for part in text.split(",")):
        name, found, hours = part.partition("=")
        if not found:
            problem = f"{part.strip()!r} is not type=hours"
            raise InputError("`max_hours`", problem, "write mask=100h")
        number = f"{hours.strip()}h" if hours.strip()[-1:].isdigit() else hours
        limits[name.strip()] = read_hours(number, "`max_hours`", hours_a_day)
    return limits


def read_overheads(
    times: LabellingTimes,
    review: list[str] | None = None,
    rework: list[str] | None = None,
    idle: list[str] | None = None,
    setup: list[str] | None = None,
) -> OverheadsByType:
    """The times' own overheads, or the assumed ones, with what was given in their place.

    Raises:
        InputError: naming the option and what cannot be read.
    """
    from omnicost.cost import Overheads

    found = {each: times.overheads.get(each, Overheads()) for each in AnnotationType}
    given = {"review": review, "rework": rework, "idle": idle, "setup_hours": setup}
    for name, texts in given.items():
        read = read_hours if name == "setup_hours" else read_share
        for part in _parts(texts):
            for annotation, value in _by_type(part, name):
                found[annotation] = found[annotation].given(**{name: read(value, f"`{name}`")})
    return found


def _parts(texts: list[str] | None) -> list[str]:
    """Those for all types first, so that `15%,box=10%` holds in any order."""
    parts = [part.strip() for text in texts or [] for part in text.split(",")]
    return sorted(parts, key=lambda part: "=" in part)


def _by_type(text: str, name: str) -> Iterator[tuple[AnnotationType, str]]:
    annotation, found, value = text.partition("=")
    if found:
        yield AnnotationType.parse(annotation, f"`{name}`"), value.strip()
    else:
        yield from ((each, text) for each in AnnotationType)


def read_team(
    annotators: int | None, hours_a_week: float, weeks: float | None, start: str | None
) -> Team | None:
    """Who labels; None where nobody is named.

    Raises:
        InputError: on a deadline or a start without annotators, or a team that cannot be.
    """
    from omnicost.campaign.team import Team

    first = read_date(start, "`start`")
    if annotators is None:
        given = [n for n, v in (("`weeks`", weeks), ("`start`", start)) if v is not None]
        if given:
            raise InputError(given[0], "needs annotators", "give `annotators`, how many work")
        return None
    return Team(annotators, hours_a_week, weeks, first)


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
