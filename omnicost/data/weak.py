"""Weak labels made from the ground truth, as an annotator would give them, faults included."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Final, NamedTuple

import numpy as np
from pycocotools import mask as mask_api
from pydantic import BaseModel, ConfigDict, Field
from scipy import ndimage, sparse
from scipy.sparse import csgraph

from omnicost.annotation import AnnotationType
from omnicost.data.dataset import Dataset, Instances
from omnicost.data.given_labels import given_points, is_given
from omnicost.data.seeding import generator
from omnicost.errors import InputError

SCRIBBLE_POINTS: Final = 5  # of a stroke, as prompts of SAM
STROKE_ENDS: Final = (0.05, 0.25)  # how much of its way a stroke leaves out at either end
STROKE_GRID: Final = 48  # rows and columns in which a part's middle is looked for
NEAR_MISS: Final = 0.1  # a point off the object lands within the box grown by this share
Share = Annotated[float, Field(ge=0, le=1)]


class AnnotatorNoise(BaseModel):
    """How often, or how far, annotators err. All zero: perfect labels."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    box_jitter: Share = Field(default=0.0, description="sd of an edge, in shares of the side")
    missed: Share = Field(default=0.0, description="chance that an instance or tag is left out")
    wrong_tag: Share = Field(default=0.0, description="chance of another class, any alike")
    off_object_point: Share = Field(default=0.0, description="chance of a point off its object")


PERFECT: Final = AnnotatorNoise()


class WeakLabel(NamedTuple):
    """What an annotator said about an image: M instances, or M distinct tags for `class`."""

    class_indices: np.ndarray  # (M,) int64
    annotation_ids: np.ndarray  # (M,) int64 of the ground truth; -1 for tags
    points: np.ndarray | None  # (M, k, 2) float32, x y at pixel centres; of marks
    boxes: np.ndarray | None  # (M, 4) float32, x0 y0 x1 y1; for `box`


def weak_label(
    dataset: Dataset,
    index: int,
    annotation: AnnotationType,
    noise: AnnotatorNoise = PERFECT,
    seed: int = 0,
) -> WeakLabel:
    """The label of one image. Every draw is seeded with what it is for: no order matters.

    Crowd regions are never labelled. An instance whose mask has no pixel is pointed at in the
    middle of its box. Of a set with given labels it is what was given, whatever noise and seed.

    Args:
        dataset: holds the ground truth, or the labels.
        index: of the image.
        annotation: any type but `mask`, whose label is the ground truth itself.
        noise: the annotators' faults.
        seed: of the annotators.

    Raises:
        InputError: if `annotation` is not weak, or not the type of the labels given.
    """
    if is_given(dataset, index, annotation):
        return _given_label(dataset, index, annotation)
    draw = _Annotator(seed, int(dataset.image_ids[index]), len(dataset.class_names), noise)
    return given_for(annotation).label(draw, dataset.instances(index))


def _given_label(dataset: Dataset, index: int, annotation: AnnotationType) -> WeakLabel:
    """What people gave; weaker tags are those of the image's instances."""
    found = dataset.instances(index)
    if not given_for(annotation).of_instances:
        return _tags(np.unique(found.class_indices))
    label = WeakLabel(found.class_indices, found.annotation_ids, None, None)
    if annotation is AnnotationType.BOX:
        return label._replace(boxes=found.boxes)
    return label._replace(points=given_points(dataset, index)[:, None])


def given_for(annotation: AnnotationType) -> Given:
    """What annotators give for a type.

    Raises:
        InputError: if it is not a weak one.
    """
    if annotation not in GIVEN:
        raise InputError("weak label", f"{annotation} is not weak", "take `Dataset.instances`")
    return GIVEN[annotation]


def _nothing(draw: _Annotator, instances: Instances) -> WeakLabel:
    return _tags(np.zeros(0, np.int64))


def _present(draw: _Annotator, instances: Instances) -> WeakLabel:
    return _tags(draw.tags(np.unique(instances.class_indices)))


def _tags(class_indices: np.ndarray) -> WeakLabel:
    return WeakLabel(class_indices, np.full(len(class_indices), -1, np.int64), None, None)


def _marks(annotation: AnnotationType) -> Callable[[_Annotator, Instances], WeakLabel]:
    def label(draw: _Annotator, instances: Instances) -> WeakLabel:
        kept, named = _named(draw, instances)
        points = [draw.points(annotation, instances, n) for n in kept]
        count = max(map(len, points), default=1)
        each = [np.broadcast_to(one, (count, 2)) for one in points]
        return named._replace(points=np.array(each, np.float32).reshape(-1, count, 2))

    return label


def _boxes(draw: _Annotator, instances: Instances) -> WeakLabel:
    kept, label = _named(draw, instances)
    boxes = [draw.box(instances, n) for n in kept]
    return label._replace(boxes=np.array(boxes, np.float32).reshape(-1, 4))


def _named(draw: _Annotator, instances: Instances) -> tuple[list[int], WeakLabel]:
    """Rows of the instances that were not missed, and what they were called."""
    kept = [n for n, each in enumerate(instances.annotation_ids.tolist()) if not draw.misses(each)]
    ids = instances.annotation_ids[kept]
    classes = [
        draw.named(int(each), int(instances.class_indices[n]))
        for n, each in zip(kept, ids, strict=True)
    ]
    return kept, WeakLabel(np.array(classes, np.int64), ids, None, None)


class Given(NamedTuple):
    """What annotators give for a type."""

    label: Callable[[_Annotator, Instances], WeakLabel]
    of_instances: bool
    """Whether each part of it belongs to one instance."""
    drawn: bool = False
    """Whether even a perfect annotator may give one label or another."""


GIVEN: Final[Mapping[AnnotationType, Given]] = {
    AnnotationType.NONE: Given(_nothing, of_instances=False),
    AnnotationType.CLASS: Given(_present, of_instances=False),
    AnnotationType.POINT: Given(_marks(AnnotationType.POINT), of_instances=True, drawn=True),
    AnnotationType.SCRIBBLE: Given(_marks(AnnotationType.SCRIBBLE), of_instances=True, drawn=True),
    AnnotationType.BOX: Given(_boxes, of_instances=True),
}


Mark = Callable[[np.ndarray, np.random.Generator], np.ndarray]
"""From a ``(H, W) bool`` mask with a pixel at least to ``(k, 2) float32`` points on it."""


def random_pixel(mask: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """The centre of a pixel of the mask, any alike."""
    # Column-major like the RLE, so the draw does not depend on how masks are laid out.
    pixels = np.flatnonzero(mask.ravel(order="F"))
    column, row = divmod(int(pixels[draw.integers(len(pixels))]), mask.shape[0])
    return np.array([[column + 0.5, row + 0.5]], np.float32)


def scribble(mask: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """`SCRIBBLE_POINTS` along a stroke through the largest part of the mask.

    The stroke is the way between two far ends of the part that keeps to its middle (a step costs
    the more, the nearer the border is), without a random bit of either end: annotators draw along
    the medial axis and stop short of the outline. Large parts are looked at in every so many rows
    and columns.
    """
    rows, columns = _middle_way(*_largest_part(mask))
    first, last = draw.uniform(*STROKE_ENDS), 1 - draw.uniform(*STROKE_ENDS)
    places = np.linspace(first, last, SCRIBBLE_POINTS) * (len(rows) - 1)
    chosen = places.round().astype(int)
    return np.stack([columns[chosen] + 0.5, rows[chosen] + 0.5], 1).astype(np.float32)


def _largest_part(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows and columns of a grid of at most `STROKE_GRID` a side, and the part on it (bool)."""
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    spans = [np.arange(line[0], line[-1] + 1) for line in (rows, columns)]
    stride = -(-max(map(len, spans)) // STROKE_GRID)
    coarse = [span[(len(span) - 1) % stride // 2 :: stride] for span in spans]
    if not mask[np.ix_(*coarse)].any():  # thinner than the grid
        coarse = spans
    labels, _ = ndimage.label(mask[np.ix_(*coarse)], np.ones((3, 3)))
    sizes = np.bincount(labels.ravel())[1:]
    return coarse[0], coarse[1], labels == 1 + sizes.argmax()


def _middle_way(
    rows: np.ndarray, columns: np.ndarray, part: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the pixels between two far ends of a part, through its middle."""
    depth = ndimage.distance_transform_edt(np.pad(part, 1))[1:-1, 1:-1]
    number = np.full(part.shape, -1)
    number[part] = np.arange(part.sum())
    starts, ends, costs = [], [], []
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        here, there = _neighbours(number, down, right), _neighbours(number, -down, -right)
        both = (here >= 0) & (there >= 0)
        between = _neighbours(depth, down, right)[both] + _neighbours(depth, -down, -right)[both]
        starts.append(here[both])
        ends.append(there[both])
        costs.append(np.hypot(down, right) / between**2)
    count = int(part.sum())
    pairs = np.concatenate(starts), np.concatenate(ends)
    graph = sparse.csr_matrix((np.concatenate(costs), pairs), (count, count))
    steps = sparse.csr_matrix((np.ones(len(pairs[0])), pairs), (count, count))
    deepest = int(depth[part].argmax())
    one = int(csgraph.dijkstra(steps, directed=False, indices=deepest).argmax())
    other = int(csgraph.dijkstra(steps, directed=False, indices=one).argmax())
    _, before = csgraph.dijkstra(graph, False, one, return_predecessors=True)
    way = [other]
    while way[-1] != one:
        way.append(int(before[way[-1]]))
    found = np.argwhere(part)[way]
    return rows[found[:, 0]], columns[found[:, 1]]


def _neighbours(values: np.ndarray, down: int, right: int) -> np.ndarray:
    """The pixels of a picture that have a neighbour so far down and right."""
    height, width = values.shape
    return values[max(-down, 0) : height - max(down, 0), max(-right, 0) : width - max(right, 0)]


MARKS: Final[Mapping[AnnotationType, Mark]] = {
    AnnotationType.POINT: random_pixel,
    AnnotationType.SCRIBBLE: scribble,
}
"""How the types that are marks on an instance are drawn."""


class _Annotator(NamedTuple):
    """One annotator before one image; each answer has a generator of its own."""

    seed: int
    image_id: int
    classes: int
    noise: AnnotatorNoise

    def tags(self, present: np.ndarray) -> np.ndarray:
        said = [
            self._swapped(tag, self._generator("tag", tag))
            for tag in present.tolist()
            if not self._happens(self.noise.missed, "tag missed", tag)
        ]
        return np.unique(np.array(said, np.int64))

    def misses(self, annotation_id: int) -> bool:
        return self._happens(self.noise.missed, "missed", annotation_id)

    def named(self, annotation_id: int, class_index: int) -> int:
        return self._swapped(class_index, self._generator("class", annotation_id))

    def points(self, annotation: AnnotationType, instances: Instances, n: int) -> np.ndarray:
        """``(k, 2)`` of an instance."""
        annotation_id = int(instances.annotation_ids[n])
        mask = mask_api.decode(instances.rles[n]).astype(bool)
        off = self._happens(self.noise.off_object_point, "off object", annotation_id)
        allowed = _surroundings(mask, instances.boxes[n]) if off else mask
        if not allowed.any():  # no pixel of the object is visible
            return instances.boxes[n].reshape(1, 2, 2).mean(axis=1)
        return MARKS[annotation](allowed, self._generator(str(annotation), annotation_id))

    def box(self, instances: Instances, n: int) -> np.ndarray:
        box = instances.boxes[n].astype(np.float64)
        if not self.noise.box_jitter:
            return box
        sides = np.tile(box[2:] - box[:2], 2)
        draw = self._generator("box", int(instances.annotation_ids[n]))
        moved = box + draw.normal(0.0, self.noise.box_jitter, 4) * sides
        return _as_drawn(moved, instances.size)

    def _happens(self, rate: float, what: str, key: int) -> bool:
        return rate > 0 and self._generator(what, key).random() < rate

    def _swapped(self, class_index: int, draw: np.random.Generator) -> int:
        if self.classes < 2 or not draw.random() < self.noise.wrong_tag:
            return class_index
        return (class_index + int(draw.integers(1, self.classes))) % self.classes

    def _generator(self, what: str, key: int) -> np.random.Generator:
        return generator("weak", self.seed, self.image_id, key, what)


def _surroundings(mask: np.ndarray, box: np.ndarray) -> np.ndarray:
    """``(H, W) bool`` pixels near the object but off it: where a hasty click lands."""
    height, width = mask.shape
    margin = np.maximum(NEAR_MISS * (box[2:] - box[:2]), 1.0)
    (x0, y0), (x1, y1) = np.floor(box[:2] - margin), np.ceil(box[2:] + margin)
    near = np.zeros_like(mask)
    near[max(int(y0), 0) : min(int(y1), height), max(int(x0), 0) : min(int(x1), width)] = True
    off = near & ~mask
    # A mask that fills its whole surroundings can only be missed farther away, if at all.
    return off if off.any() else ~mask if not mask.all() else mask


def _as_drawn(box: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The box with its corners in order, inside the picture, at least a pixel wide and high."""
    limits = np.array([size[1], size[0]], np.float64)
    low = np.clip(np.minimum(box[:2], box[2:]), 0, limits - 1)
    high = np.clip(np.maximum(box[:2], box[2:]), low + 1, limits)
    return np.concatenate([low, high])
