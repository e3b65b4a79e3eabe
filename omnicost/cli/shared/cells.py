"""Options of the verbs that show a sweep's finished cell, and the data set behind it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from omnicost.errors import InputError

if TYPE_CHECKING:
    from omnicost.data import Dataset
    from omnicost.progress import Progress

DataArgument = Annotated[
    str, typer.Argument(help="The data set: its folder, or a tiny set's name.")
]
CellOption = Annotated[
    str | None, typer.Option(help="A sweep's finished cell, or the source of its row.")
]
StoreOption = Annotated[Path, typer.Option(help="The sweep's store, to find the cell in.")]
SplitOption = Annotated[str, typer.Option(help="Split of the data set.")]
RootOption = Annotated[Path | None, typer.Option(help="Folder that a tiny set is drawn in.")]


def open_data_of(
    cell: str | None,
    store: Path,
    fingerprint: str,
    data: str,
    split: str,
    root: Path | None,
    progress: Progress | None = None,
) -> Dataset:
    """The data set; that of a cell from where its sweep keeps it converted, or drawn.

    Args:
        fingerprint: of what the cell was trained on; not read without a cell.

    Raises:
        InputError: if the cell was trained on something else.
    """
    from omnicost.data import open_dataset
    from omnicost.progress import silent

    cache = store / "data" if cell else None
    dataset = open_dataset(data, split, root=root, cache=cache, progress=progress or silent)
    if cell and fingerprint != dataset.fingerprint:
        raise InputError(data, f"is not what {cell} was trained on", "name the sweep's data set")
    return dataset
