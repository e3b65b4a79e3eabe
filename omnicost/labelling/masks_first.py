"""The order in which images get masks, where somebody knows it: as `omnicost review` writes it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from omnicost.errors import InputError
from omnicost.labelling.images import ImageList, read_table
from omnicost.plain_text import text_of_cell


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
    rows = read_table(path, "file_name", "give review.csv of omnicost review")
    named = [text_of_cell(row.get("file_name") or "") for row in rows]
    known = images.places(named, path)
    places = np.full(images.count, len(named), np.int64)
    for rank, name in enumerate(named):
        places[known[name]] = min(places[known[name]], rank)
    return places
