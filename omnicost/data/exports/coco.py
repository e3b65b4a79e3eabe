"""A COCO file of a data set's images and classes with any annotations."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from omnicost.data.coco_json import frame
from omnicost.data.dataset import Dataset
from omnicost.data.exports.pieces import write_pieces
from omnicost.data.exports.regions import HUMAN
from omnicost.files import MARK


def write_coco_json(
    path: Path, dataset: Dataset, annotations: Iterable[dict[str, Any]], masks: bool = True
) -> dict[str, int]:
    """Write a data set's images and classes with those annotations; the file appears whole.

    Annotations are written as they come, so memory does not grow with their number.

    Args:
        path: the file.
        dataset: its images and classes.
        annotations: COCO records.
        masks: every image has masks, whatever labels were given; else images say their types.

    Returns:
        How many annotations of each source were written.
    """
    counts: Counter[str] = Counter()

    def counted() -> Iterator[dict[str, Any]]:
        for each in annotations:
            counts[each.get("source", HUMAN)] += 1
            yield each

    columns = dataset.columns._replace(given=None) if masks else dataset.columns
    described = frame(dataset.name, dataset.header, columns)
    head = json.dumps({**described, "info": {**described["info"], "generator": MARK}})
    write_pieces(path, head[:-1] + ', "annotations": [\n', counted(), "\n]}\n")
    return counts
