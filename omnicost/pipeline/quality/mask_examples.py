"""From a data set and pseudo-mask tables to the pictures that `plot.masks` draws."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as mask_api

from omnicost.annotation import AnnotationType
from omnicost.data import Dataset
from omnicost.data.exports.unmasked import unmasked
from omnicost.data.seeding import generator
from omnicost.data.weak import PERFECT, AnnotatorNoise
from omnicost.errors import InputError
from omnicost.pipeline.proposals import Detections
from omnicost.pipeline.quality.mask_quality import Table
from omnicost.plot.masks import Drawn, MaskExample


def examples(
    dataset: Dataset,
    after: Path,
    before: Path | None = None,
    detections: Sequence[Path] = (),
    image_ids: Sequence[int] = (),
    images: int = 4,
    min_score: float = 0.3,
    seed: int = 0,
    noise: AnnotatorNoise = PERFECT,
    label_seed: int = 0,
) -> list[MaskExample]:
    """Some images with all that is known of how their masks came about.

    Args:
        dataset: with the pictures and the ground truth.
        after: artefact of the pseudo-mask step: whose prompts and masks are shown.
        before: another one on the same images, such as of the untuned teacher.
        detections: artefacts of the detect step, to show GroundingDINO's boxes.
        image_ids: which images; a seeded draw from those with pseudo-masks if none.
        images: how many to draw.
        min_score: of GroundingDINO's boxes shown.
        seed: of the draw.
        noise: of the annotators whose labels were drawn from, to tell which have no mask.
        label_seed: of these annotators.

    Raises:
        InputError: if an image has no pseudo-mask in the table.
    """
    shown = Table(dataset, after, None)
    earlier = None if before is None else Table(dataset, before, None)
    found = Detections(detections) if detections else None
    chosen = _chosen(shown.image_ids, image_ids, images, seed, after)
    return [
        _example(dataset, image_id, shown, earlier, found, min_score, noise, label_seed)
        for image_id in chosen
    ]


def _chosen(
    have: np.ndarray, wanted: Sequence[int], count: int, seed: int, table: Path
) -> list[int]:
    for image_id in wanted:
        if image_id not in have:
            raise InputError(
                table, f"no pseudo-mask on image {image_id}", f"choose among {len(have)} others"
            )
    if wanted:
        return list(wanted)
    drawn = generator(seed, "plot masks").permutation(have)[:count]
    return sorted(int(image_id) for image_id in drawn)


def _example(
    dataset: Dataset,
    image_id: int,
    after: Table,
    before: Table | None,
    detections: Detections | None,
    min_score: float,
    noise: AnnotatorNoise,
    label_seed: int,
) -> MaskExample:
    index = dataset.index_of(image_id)
    rows, truth = after.rows(image_id), dataset.instances(index)
    annotation = rows[0]["source"]
    detected = None
    if detections is not None:
        proposals = detections.of(image_id)
        detected = proposals.boxes[proposals.scores >= min_score]
    drawn = {row["annotation_id"] for row in rows}
    missing = unmasked(dataset, index, AnnotationType(annotation), drawn, noise, label_seed)
    tags = sorted({dataset.class_names[place] for place in truth.class_indices.tolist()})
    labelled = [row for row in rows if row["annotation_id"] >= 0]
    points, boxes = _labels(annotation, labelled)
    return MaskExample(
        name=Path(str(dataset.file_names[index])).name,
        image=dataset.image(index),
        annotation=annotation,
        class_names=dataset.class_names,
        truth=Drawn(truth.annotation_ids, truth.class_indices, truth.masks()),
        tags=tuple(tags) if annotation == AnnotationType.CLASS else (),
        points=points,
        boxes=boxes,
        label_ids=np.array([row["annotation_id"] for row in labelled], np.int64),
        sam_boxes=_stacked(rows, "sam_box"),
        detector_boxes=detected,
        prompt_boxes=_stacked(rows, "prompt_box"),
        before=None if before is None else _drawn(before.rows(image_id), truth.size),
        after=_drawn(rows, truth.size),
        without_mask=tuple(each.class_name for each in missing),
    )


def _labels(
    annotation: str, rows: Sequence[dict[str, Any]]
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """What annotators gave for the rows' instances: points ``(M, k, 2)``, or boxes ``(M, 4)``.

    Where there were points, boxes came of them.
    """
    points = _stacked(rows, "point")
    if points is None:
        return None, _stacked(rows, "prompt_box")
    return points.reshape(len(points), -1, 2), None


def _stacked(rows: Sequence[dict[str, Any]], column: str) -> np.ndarray | None:
    values = [row[column] for row in rows if row[column] is not None]
    return np.array(values, np.float32) if values else None


def _drawn(rows: Sequence[dict[str, Any]], size: tuple[int, int]) -> Drawn:
    codes = [{"size": list(size), "counts": row["rle"]} for row in rows]
    masks = np.zeros((0, *size), bool)
    if codes:
        masks = mask_api.decode(codes).transpose(2, 0, 1).astype(bool)
    return Drawn(
        np.array([row["annotation_id"] for row in rows], np.int64),
        np.array([row["class_index"] for row in rows], np.int64),
        masks,
    )
