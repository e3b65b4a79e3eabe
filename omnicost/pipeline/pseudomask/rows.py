"""A job, and its masks on a block of images: weak labels to prompts to rows (§3.2-3.5)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from pycocotools import mask as mask_api

from omnicost.annotation import AnnotationType
from omnicost.data import Dataset, weak_label
from omnicost.data.exports.regions import HUMAN
from omnicost.data.rle import encode
from omnicost.data.weak import PERFECT, AnnotatorNoise
from omnicost.errors import InputError
from omnicost.pipeline.config import (
    DEFAULT_REFINE,
    DEFAULT_SELECT,
    PseudomaskConfig,
    RefineConfig,
    SelectConfig,
)
from omnicost.pipeline.embed import Arrays
from omnicost.pipeline.proposals import Detections, Proposals, select
from omnicost.pipeline.pseudomask.refine import merge_boxes
from omnicost.pipeline.pseudomask.routes import route_of
from omnicost.pipeline.teacher.prompting import Answer, Asked, Teacher, answer

if TYPE_CHECKING:
    import pyarrow as pa

ReadEmbedding = Callable[[int], Arrays]
_NOTHING = Answer(np.zeros((0, 1, 1), bool), np.zeros(0, np.float32))


@dataclass(frozen=True)
class Job:
    """One annotation type on some images.

    Args:
        annotation: what is labelled; ``mask`` writes the ground truth.
        images: indices of the images.
        out: folder of the artefact.
        teachers: folders of the teacher step by role, as `Recipe.teachers` names them.
        detections: folders of the detect step (none, class, point).
        detect: confidence and NMS of detections that become prompts.
        refine: Algorithm 1.
        noise: of the weak labels.
        seed: of the weak labels.
        work: scratch of its own, kept over restarts; the pass's if None.
    """

    annotation: AnnotationType
    images: Sequence[int]
    out: Path
    teachers: Mapping[str, Path] = field(default_factory=dict)
    detections: Sequence[Path] = ()
    detect: SelectConfig = DEFAULT_SELECT
    refine: RefineConfig = DEFAULT_REFINE
    noise: AnnotatorNoise = PERFECT
    seed: int = 0
    work: Path | None = None

    @cached_property
    def identity(self) -> str:
        """Names the job's scratch folder: the same job after a restart finds its parts again."""
        told = {
            "annotation": self.annotation,
            "images": [int(index) for index in self.images],
            "teachers": {role: str(path) for role, path in self.teachers.items()},
            "detections": [str(folder) for folder in self.detections],
            "detect": self.detect.identity(),
            "refine": self.refine.identity(),
            "noise": self.noise.model_dump(mode="json"),
            "seed": self.seed,
        }
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:24]


class MaskRow(NamedTuple):
    """One mask, as `pseudomask` describes its columns."""

    image_id: int
    annotation_id: int
    class_index: int
    score: float
    source: str
    box: list[float]
    rle: bytes
    height: int
    width: int
    point: list[float] | None = None
    sam_box: list[float] | None = None
    prompt_box: list[float] | None = None


class Prompted(NamedTuple):
    """P prompts on one image, in its pixels, and what they are for."""

    image: int  # index
    annotation_ids: np.ndarray  # (P,) int64
    class_indices: np.ndarray  # (P,) int64
    scores: np.ndarray | None = None  # (P,) float32; None to take the decoder's IoU estimate
    points: np.ndarray | None = None  # (P, k, 2) float32
    sam_boxes: np.ndarray | None = None  # (P, 4) float32
    boxes: np.ndarray | None = None  # (P, 4) float32

    @property
    def is_asked(self) -> bool:
        """Whether there is any prompt; an image without one is not even read."""
        return len(self.class_indices) > 0


class DrawnMasks(NamedTuple):
    """The prompts of one image and the masks that a teacher drew for them."""

    prompted: Prompted
    answer: Answer


class Annotator:
    """Draws the masks of one job: `prompts`, then `draw`, then `rows`; the first and last anywhere.

    Args:
        dataset: with the images and what was labelled on them.
        job: what to draw.
        teachers: by role.
        detections: needed by none, class and, unless refinement is off, point.
        config: precision and batching.
        device: where the teachers are.

    Raises:
        InputError: if a teacher or the detections are missing.
    """

    def __init__(
        self,
        dataset: Dataset,
        job: Job,
        teachers: Mapping[str, Teacher],
        detections: Detections | None,
        config: PseudomaskConfig,
        device: str,
    ) -> None:
        self.dataset = dataset
        self.job = job
        self.teachers = teachers
        self.config = config
        self.device = device
        self._detections = detections
        is_human = job.annotation is AnnotationType.MASK
        self._route = None if is_human else route_of(job.annotation)  # None: masks of annotators
        self._roles = () if self._route is None else self._route.roles(job.refine)
        self._check()

    def draw(self, prompted: Sequence[Prompted], read: ReadEmbedding) -> list[DrawnMasks]:
        """Masks for the prompts of some images, which are decoded together."""
        answers = [_NOTHING for _ in prompted]
        for place, role in enumerate(self._roles):
            if place:
                prompted = list(map(self._merged, prompted, answers))
            answers = self._answer(role, prompted, read)
        return [DrawnMasks(*each) for each in zip(prompted, answers, strict=True)]

    def rows(self, drawn: Sequence[DrawnMasks]) -> list[MaskRow]:
        """The masks on some images; masks that came out empty are left out."""
        return [row for each in drawn for row in self._rows(*each)]

    def _merged(self, asked: Prompted, answered: Answer) -> Prompted:
        assert asked.points is not None
        sam_boxes = boxes_of(answered.masks, asked.points)
        proposals, refine = self._proposals(asked.image), self.job.refine
        merged = merge_boxes(proposals, asked.points, sam_boxes, asked.class_indices, refine)
        return asked._replace(sam_boxes=sam_boxes, boxes=merged.boxes)

    def prompts(self, index: int) -> Prompted:
        """What the first teacher is shown: GroundingDINO's boxes and classes, or the labels."""
        if self._route is None:
            nobody = np.zeros(0, np.int64)
            return Prompted(index, nobody, nobody)
        if self._route.prompts_are_detections:
            found = select(self._proposals(index), self.job.detect)
            nobody = np.full(len(found.scores), -1, np.int64)
            return Prompted(index, nobody, found.class_indices, found.scores, boxes=found.boxes)
        job = self.job
        label = weak_label(self.dataset, index, job.annotation, job.noise, job.seed)
        ids, classes = label.annotation_ids, label.class_indices
        return Prompted(index, ids, classes, points=label.points, boxes=label.boxes)

    def _proposals(self, index: int) -> Proposals:
        assert self._detections is not None
        return self._detections.of(int(self.dataset.image_ids[index]))

    def _answer(self, role: str, prompted: Sequence[Prompted], read: ReadEmbedding) -> list[Answer]:
        asked = [self._asked(each, read) for each in prompted if each.is_asked]
        teacher, config = self.teachers[role], self.config
        found = answer(teacher, asked, self.device, config.precision, config.decode_prompts)
        answers = iter(found)
        return [next(answers) if each.is_asked else _NOTHING for each in prompted]

    def _asked(self, one: Prompted, read: ReadEmbedding) -> Asked:
        height, width = self.dataset.sizes[one.image].tolist()
        return Asked(read(one.image), (height, width), one.class_indices, one.points, one.boxes)

    def _rows(self, prompted: Prompted, answered: Answer) -> list[MaskRow]:
        if self._route is None:
            truth = self.dataset.instances(prompted.image)
            own = Prompted(prompted.image, truth.annotation_ids, truth.class_indices)
            return [self._row(own, n, 1.0, HUMAN, rle) for n, rle in enumerate(truth.rles)]
        scores = np.clip(answered.iou, 0, 1) if prompted.scores is None else prompted.scores
        source = self.job.annotation.value
        return [
            self._row(prompted, n, float(scores[n]), source, rle)
            for n, rle in enumerate(encode(answered.masks))
            if mask_api.area(rle)
        ]

    def _row(
        self, prompted: Prompted, n: int, score: float, source: str, rle: dict[str, Any]
    ) -> MaskRow:
        x, y, across, down = mask_api.toBbox(rle).tolist()
        height, width = rle["size"]
        return MaskRow(
            int(self.dataset.image_ids[prompted.image]),
            int(prompted.annotation_ids[n]),
            int(prompted.class_indices[n]),
            score,
            source,
            [x, y, x + across, y + down],
            rle["counts"],
            height,
            width,
            _listed(prompted.points, n),
            _listed(prompted.sam_boxes, n),
            _listed(prompted.boxes, n),
        )

    def _check(self) -> None:
        if self._route is None:
            return
        where = f"pseudo-masks of {self.job.annotation}"
        if missing := [role for role in self._roles if role not in self.teachers]:
            raise InputError(where, f"no teacher {missing[0]!r}", "name its folder")
        if self._detections is None and self._route.asks_detector(self.job.refine):
            raise InputError(where, "no detections", "name their folder")


def boxes_of(masks: np.ndarray, points: np.ndarray | None) -> np.ndarray:
    """``(P, 4) float32`` boxes around ``(P, H, W) bool`` masks; an empty one's are its points'."""
    boxes = np.zeros((len(masks), 4), np.float32)
    for n, mask in enumerate(masks):
        columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
        if len(columns):
            boxes[n] = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
        elif points is not None:
            boxes[n] = [*(points[n].min(0) - 0.5), *(points[n].max(0) + 0.5)]
    return boxes


def to_table(rows: Sequence[MaskRow]) -> pa.Table:
    """The rows as an Arrow table, with its columns even when there is none."""
    import pyarrow as pa

    four, many = pa.list_(pa.float32(), 4), pa.list_(pa.float32())
    schema = pa.schema(
        {
            "image_id": pa.int64(),
            "annotation_id": pa.int64(),
            "class_index": pa.int32(),
            "score": pa.float32(),
            "source": pa.string(),
            "box": four,
            "rle": pa.binary(),
            "height": pa.int32(),
            "width": pa.int32(),
            "point": many,
            "sam_box": four,
            "prompt_box": four,
        }
    )
    return pa.Table.from_pylist([row._asdict() for row in rows], schema)


def _listed(values: np.ndarray | None, row: int) -> list[float] | None:
    return None if values is None else values[row].ravel().tolist()
