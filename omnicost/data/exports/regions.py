"""What is drawn in an image, whoever drew it: what every form of export is written from."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from omnicost.annotation import AnnotationType
from omnicost.data.dataset import Dataset
from omnicost.data.given_labels import given_points

HUMAN = "human"  # source of what an annotator drew


class Region(NamedTuple):
    """One instance, or a tag: the shape that its type says, and no other."""

    annotation: AnnotationType
    class_index: int
    source: str
    score: float
    rle: dict[str, Any] | None = None  # compressed COCO RLE
    box: tuple[float, ...] | None = None  # x0 y0 x1 y1
    point: tuple[float, ...] | None = None  # x y


class LabelledSet(Protocol):
    """A data set and what is drawn in its images."""

    dataset: Dataset

    def regions(self, index: int) -> list[Region]:
        """What is drawn in an image, crowds left out."""


class OwnLabels:
    """The labels that a data set has: masks throughout, or what was given."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset

    def regions(self, index: int) -> list[Region]:
        """What is drawn in an image, crowds left out."""
        return own_regions(self.dataset, index)


def own_regions(dataset: Dataset, index: int) -> list[Region]:
    """What people drew in an image, crowds left out."""
    annotation, found = dataset.type_of(index), dataset.instances(index)
    points = given_points(dataset, index) if annotation is AnnotationType.POINT else None
    regions = []
    for n, class_index in enumerate(found.class_indices.tolist()):
        region = Region(annotation, class_index, HUMAN, 1.0)
        if annotation is AnnotationType.MASK:
            region = region._replace(rle=found.rles[n])
        elif annotation is AnnotationType.BOX:
            region = region._replace(box=tuple(found.boxes[n].tolist()))
        elif points is not None:
            region = region._replace(point=tuple(points[n].tolist()))
        regions.append(region)
    return regions
