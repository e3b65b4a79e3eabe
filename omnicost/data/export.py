"""Data sets leave as COCO json: ground truth, and ground truth merged with pseudo-masks."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import numpy as np
from pycocotools import mask as mask_api

from omnicost.annotation import AnnotationType
from omnicost.data.coco_json import annotations_of, as_text, frame
from omnicost.data.dataset import Dataset
from omnicost.errors import InputError
from omnicost.files import output_file
from omnicost.progress import Progress, silent

HUMAN = "human"  # source of what an annotator drew


class PseudoMasks(NamedTuple):
    """R pseudo-masks as plain columns, in any order."""

    image_ids: np.ndarray  # (R,) int64
    annotation_ids: np.ndarray  # (R,) int64 of the weakly labelled instance, or -1
    class_indices: np.ndarray  # (R,) int64
    scores: np.ndarray  # (R,) float
    sources: Sequence[str]  # what prompted the mask
    counts: Sequence[bytes]  # compressed COCO RLE


class Merged:
    """A data set whose images without masks have pseudo-masks instead.

    Args:
        dataset: the images, and the ground truth of those with masks.
        strengths: ``(I,)`` annotation type of each image, as `splits.assign` gives them.
        pseudo: pseudo-masks; those of images with masks are left out.

    Raises:
        InputError: if a pseudo-mask is of an image or class that the data set lacks.
    """

    def __init__(self, dataset: Dataset, strengths: np.ndarray, pseudo: PseudoMasks) -> None:
        _require_known(dataset, pseudo)
        self.dataset = dataset
        self.is_human = np.asarray(strengths) == AnnotationType.MASK.strength
        self.pseudo = pseudo
        self._order = np.argsort(pseudo.image_ids, kind="stable")
        ids = np.asarray(pseudo.image_ids)[self._order]
        self._first = np.searchsorted(ids, dataset.image_ids, "left")
        self._end = np.searchsorted(ids, dataset.image_ids, "right")

    def rows(self, index: int) -> list[int]:
        """Rows of the pseudo-masks of an image that have a pixel; none where it has real ones."""
        if self.is_human[index]:
            return []
        rows = self._order[self._first[index] : self._end[index]].tolist()
        return [row for row in rows if mask_api.area(self.rle(index, row))]

    def rle(self, index: int, row: int) -> dict[str, Any]:
        """A pseudo-mask of an image as pycocotools takes it."""
        return {"size": self.dataset.sizes[index].tolist(), "counts": self.pseudo.counts[row]}

    def annotations(self, progress: Progress = silent) -> Iterator[dict[str, Any]]:
        """COCO annotations in order of image, each with `score` and `source`.

        A pseudo-mask keeps the id of the instance that it was made for; others get new ids.
        """
        used = set(self.dataset.columns.annotation_ids.tolist())
        fresh = iter(range(max(used, default=0) + 1, 2**63))
        given: set[int] = set()
        for index in range(len(self.dataset)):
            if self.is_human[index]:
                for each in annotations_of(self.dataset.header, self.dataset.columns, index):
                    yield {**each, "score": 1.0, "source": HUMAN}
            for row in self.rows(index):
                wanted = int(self.pseudo.annotation_ids[row])
                keeps = wanted in used and wanted not in given
                given.add(wanted)
                yield self._annotation(index, row, wanted if keeps else next(fresh))
            progress(index + 1, len(self.dataset), {})

    def _annotation(self, index: int, row: int, annotation_id: int) -> dict[str, Any]:
        rle = self.rle(index, row)
        return {
            "id": annotation_id,
            "image_id": int(self.dataset.image_ids[index]),
            "category_id": int(self.dataset.category_ids[self.pseudo.class_indices[row]]),
            "bbox": mask_api.toBbox(rle).tolist(),
            "area": float(mask_api.area(rle)),
            "iscrowd": 0,
            "segmentation": as_text(rle),
            "score": float(self.pseudo.scores[row]),
            "source": str(self.pseudo.sources[row]),
        }


def write_coco_json(
    path: Path, dataset: Dataset, annotations: Iterable[dict[str, Any]]
) -> dict[str, int]:
    """Write a data set's images and classes with those annotations; the file appears whole.

    Annotations are written as they come, so memory does not grow with their number.

    Returns:
        How many annotations of each source were written.
    """
    counts: dict[str, int] = {}

    def counted() -> Iterator[dict[str, Any]]:
        for each in annotations:
            source = each.get("source", HUMAN)
            counts[source] = counts.get(source, 0) + 1
            yield each

    head = json.dumps(frame(dataset.name, dataset.header, dataset.columns))
    write_pieces(path, head[:-1] + ', "annotations": [\n', counted(), "\n]}\n")
    return counts


def write_pieces(path: Path, head: str, items: Iterable[Any], tail: str) -> None:
    """Write a JSON list between a head and a tail, item by item; the file appears whole.

    Raises:
        InputError: if it cannot be written.
    """
    with output_file(path) as part, part.open("w", encoding="utf-8") as file:
        _write_list(file, head, items, tail)


def _write_list(file: TextIO, head: str, items: Iterable[Any], tail: str) -> None:
    file.write(head)
    for n, item in enumerate(items):
        file.write(",\n" if n else "")
        file.write(json.dumps(item, separators=(",", ":"), allow_nan=False))
    file.write(tail)


def _require_known(dataset: Dataset, pseudo: PseudoMasks) -> None:
    where = f"pseudo-masks for {dataset.name} {dataset.split}"
    remedy = "give the data set and split that they were made for"
    unknown = ~np.isin(pseudo.image_ids, dataset.image_ids)
    if unknown.any():
        raise InputError(where, f"image id {pseudo.image_ids[unknown][0]} is not in it", remedy)
    classes = np.asarray(pseudo.class_indices)
    wrong = (classes < 0) | (classes >= len(dataset.class_names))
    if wrong.any():
        raise InputError(where, f"class index {classes[wrong][0]} is not in it", remedy)
