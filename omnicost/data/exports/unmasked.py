"""Labels that no mask was drawn for: the pseudo-mask step has no row for a mask without a pixel.

Whoever shows or hands on pseudo-masks says it by this module.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

from omnicost.annotation import AnnotationType
from omnicost.data.dataset import Dataset
from omnicost.data.weak import GIVEN, PERFECT, AnnotatorNoise, weak_label

_NAMED: Final = 5


class Unmasked(NamedTuple):
    """A labelled instance without a mask, which an annotator would have to draw."""

    image_id: int
    annotation_id: int
    class_name: str


def unmasked(
    dataset: Dataset,
    index: int,
    annotation: AnnotationType,
    drawn: Collection[int],
    noise: AnnotatorNoise = PERFECT,
    seed: int = 0,
) -> list[Unmasked]:
    """The labelled instances of an image that have no mask; none where labels are of no instance.

    Args:
        dataset: with the labels.
        index: of the image.
        annotation: what it is labelled with.
        drawn: ids of the annotations that have a mask with a pixel.
        noise: of the annotators, who may have missed some.
        seed: of the annotators.
    """
    if annotation not in GIVEN or not GIVEN[annotation].of_instances:
        return []
    # Perfect annotators label every instance; only of others it takes their label to know.
    labels = dataset.instances(index) if noise == PERFECT else (
        weak_label(dataset, index, annotation, noise, seed)
    )  # fmt: skip
    image_id = int(dataset.image_ids[index])
    pairs = zip(labels.annotation_ids.tolist(), labels.class_indices.tolist(), strict=True)
    return [
        Unmasked(image_id, annotation, dataset.class_names[class_index])
        for annotation, class_index in pairs
        if annotation not in drawn
    ]


def unmasked_line(found: Sequence[Unmasked]) -> str:
    """How many there are and the first of them, for a terminal."""
    some = "; ".join(f"image {each.image_id}, {each.class_name}" for each in found[:_NAMED])
    more = "; ..." if len(found) > _NAMED else ""
    return f"without a mask: {len(found)} labels ({some}{more})"
