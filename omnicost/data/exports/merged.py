"""Real masks merged with pseudo-masks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from pycocotools import mask as mask_api

from omnicost.annotation import AnnotationType
from omnicost.data.coco_json import annotations_of, as_text
from omnicost.data.dataset import Dataset
from omnicost.data.exports.regions import HUMAN, Region, own_regions
from omnicost.data.exports.unmasked import Unmasked, unmasked
from omnicost.data.weak import PERFECT, AnnotatorNoise
from omnicost.errors import InputError
from omnicost.progress import Progress, silent

if TYPE_CHECKING:
    import pyarrow as pa


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
        noise: of the annotators whose labels they were drawn from.
        seed: of these annotators.

    Raises:
        InputError: if a pseudo-mask is of an image or class that the data set lacks.
    """

    def __init__(
        self,
        dataset: Dataset,
        strengths: np.ndarray,
        pseudo: PseudoMasks,
        noise: AnnotatorNoise = PERFECT,
        seed: int = 0,
    ) -> None:
        _require_known(dataset, pseudo)
        self.dataset = dataset
        self.noise = noise
        self.seed = seed
        self.strengths = np.asarray(strengths)
        self.is_human = self.strengths == AnnotationType.MASK.strength
        self.pseudo = pseudo
        self._order = np.argsort(pseudo.image_ids, kind="stable")
        ids = np.asarray(pseudo.image_ids)[self._order]
        self._first = np.searchsorted(ids, dataset.image_ids, "left")
        self._end = np.searchsorted(ids, dataset.image_ids, "right")

    def drawn(self, index: int) -> list[int]:
        """Rows of the pseudo-masks of an image, empty ones too; none where it has real ones."""
        if self.is_human[index]:
            return []
        rows: list[int] = self._order[self._first[index] : self._end[index]].tolist()
        return rows

    def rows(self, index: int) -> list[int]:
        """Rows of the pseudo-masks of an image that have a pixel; none where it has real ones."""
        return [row for row in self.drawn(index) if mask_api.area(self.rle(index, row))]

    def unmasked(self) -> list[Unmasked]:
        """The labelled instances that no pseudo-mask with a pixel was drawn for."""
        found = []
        for index in np.flatnonzero(~self.is_human).tolist():
            annotation = tuple(AnnotationType)[int(self.strengths[index])]
            drawn = {int(self.pseudo.annotation_ids[row]) for row in self.rows(index)}
            found += unmasked(self.dataset, index, annotation, drawn, self.noise, self.seed)
        return found

    def regions(self, index: int) -> list[Region]:
        """Real masks of an image where it has them, pseudo-masks elsewhere; crowds left out."""
        if self.is_human[index]:
            return own_regions(self.dataset, index)
        pseudo = self.pseudo
        return [
            Region(
                AnnotationType.MASK,
                int(pseudo.class_indices[row]),
                str(pseudo.sources[row]),
                float(pseudo.scores[row]),
                rle=self.rle(index, row),
            )
            for row in self.rows(index)
        ]

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


def read_pseudomasks(paths: Sequence[Path]) -> PseudoMasks:
    """The pseudo-masks of those folders; none at all of a cell with masks throughout."""
    import pyarrow as pa

    if not paths:
        nothing = np.empty(0, np.int64)
        return PseudoMasks(nothing, nothing, nothing, np.empty(0), [], [])
    table = pa.concat_tables([_table(path) for path in paths])
    return PseudoMasks(
        image_ids=table["image_id"].to_numpy(),
        annotation_ids=table["annotation_id"].to_numpy(),
        class_indices=table["class_index"].to_numpy(),
        scores=table["score"].to_numpy(),
        sources=table["source"].to_pylist(),
        counts=table["rle"].to_pylist(),
    )


def _table(path: Path) -> pa.Table:
    """A table of pseudo-masks, without what the step that wrote it imports."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = path / "pseudomasks.parquet" if path.is_dir() else path
    try:
        return pq.read_table(file)
    except (OSError, pa.ArrowInvalid):
        remedy = "name the folder of a pseudomask stage"
        raise InputError(file, "no pseudo-masks can be read", remedy) from None
