"""The order in which images get masks, where somebody knows it: as `omnicost review` writes it."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from omnicost.errors import InputError
from omnicost.labelling.images import ImageList


def read_masks_first(path: Path, images: ImageList) -> np.ndarray:
    """Place of each image in that order, those that it does not name last: (N,) int64.

    Args:
        path: a table with a column `file_name`, the first to get a mask first.
        images: the project's images.

    Raises:
        InputError: if it cannot be used, or names images that the project does not have.
    """
    if images.names is None:
        raise InputError(path, "names images", "give `images`, a folder or a COCO-format file")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(path, f"cannot be read ({error})", "check the path") from None
    if not rows or "file_name" not in rows[0]:
        raise InputError(path, "has no column file_name", "give review.csv of omnicost review")
    known = {name: place for place, name in enumerate(images.names)}
    named = [(row.get("file_name") or "").removeprefix("'") for row in rows]
    unknown = [name for name in named if name not in known]
    if unknown:
        text = f"{len(unknown):,} images are not in {images.source}, such as {unknown[0]!r}"
        raise InputError(path, text, "list all images of the project with `images`")
    places = np.full(images.count, len(named), np.int64)
    for rank, name in enumerate(named):
        places[known[name]] = min(places[known[name]], rank)
    return places
