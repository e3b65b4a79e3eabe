"""Which pseudo-masks to correct first: expected gain per second of an annotator's time.

A pseudo-mask's expected IoU is the mean of two opinions of it. One is its score, which is the
teacher's rating, or the detector's confidence where a detection prompted it; where enough images
have masks, it is what cross-fitting found that such scores are worth. The other is how well the
student, which saw all images, agrees with it. What both doubt is worth looking at; what they agree
on is not. Correcting an instance costs a glance, and a new mask as often as one is needed.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from pycocotools import mask as mask_api

from omnicost.cost.times import LabellingTimes
from omnicost.data import Dataset, open_dataset
from omnicost.data.exports.label_studio import (
    CONFIG,
    OUR_CONFIG,
    OUR_TASKS,
    TASKS_HEAD,
    labelling_config,
    task,
)
from omnicost.data.exports.merged import Merged, PseudoMasks
from omnicost.data.exports.pieces import write_pieces, write_texts
from omnicost.data.exports.regions import HUMAN
from omnicost.data.rle import empty, to_rle
from omnicost.errors import InputError, MissingError
from omnicost.files import output_file, read_bytes
from omnicost.models.students.student import Prediction
from omnicost.pipeline.evaluate import predict
from omnicost.pipeline.quality.calibration import ScoreCalibration
from omnicost.plain_text import plain_cell
from omnicost.plain_yaml import parse_yaml
from omnicost.progress import Progress, silent
from omnicost.project.model_folder import STUDENT, read_description
from omnicost.project.outcome import FIGURES, MERGED
from omnicost.project.train import CARD

GLANCE_SECONDS: Final = 1.6  # is it right? Papadopoulos et al., CVPR 2016
SURE: Final = 0.5  # a student's score from which it counts as an opinion
SAME_IOU: Final = 0.5  # from which a prediction is of an instance that has a pseudo-mask
TASKS: Final = "tasks.json"
LISTING: Final = "review.csv"
INSTANCES: Final = "instances.csv"
EMPTY, UNSEEN = "empty", "student"  # sources of labels without a mask; of what none was drawn for
HEADS: Final = {  # how files of ours begin
    CONFIG: OUR_CONFIG,
    TASKS: OUR_TASKS,
    LISTING: "rank,image_id,file_name,pseudo_masks",
    INSTANCES: "image_id,file_name,annotation_id,class,source",
}


class InstanceDoubt(NamedTuple):
    """One instance, and what correcting it is expected to bring.

    Args:
        annotation_id: the label that it was drawn for; -1 for a detection, or what only the
            student sees.
        source: what prompted its mask; ``empty`` without one, ``student`` if only it sees it.
        expected_iou: by the score alone; 0 without a mask.
        agreement: IoU with what the student sees there.
        gain: IoU expected to be gained.
    """

    annotation_id: int
    class_index: int
    source: str
    expected_iou: float
    agreement: float
    gain: float


@dataclass(frozen=True)
class Doubt:
    """One image and what correcting it is expected to bring.

    Args:
        index: in the data set.
        instances: most gain first.
        seconds: expected to be spent.
    """

    index: int
    instances: tuple[InstanceDoubt, ...]
    seconds: float

    @property
    def gain(self) -> float:
        """IoU expected to be gained, summed over instances."""
        return float(sum(each.gain for each in self.instances))

    def count(self, source: str) -> int:
        """Instances of a source."""
        return sum(each.source == source for each in self.instances)

    @property
    def rate(self) -> float:
        """Gain per second."""
        return self.gain / self.seconds if self.seconds else 0.0


class _Row(NamedTuple):
    image_id: int
    annotation_id: int
    class_index: int
    score: float
    source: str
    counts: bytes


class Review(NamedTuple):
    """The images to correct, most gain per second first, as many as the hours allow."""

    merged: Merged
    doubts: tuple[Doubt, ...]
    left: int  # images with pseudo-masks that the hours do not reach


def plan_review(
    model: Path,
    hours: float,
    times: LabellingTimes,
    device: str = "cpu",
    progress: Progress = silent,
) -> Review:
    """Order the images of a model's training set that people have not drawn masks on.

    Args:
        model: folder that `omnicost train` wrote.
        hours: of annotators.
        times: of which the seconds of a mask are read.

    Raises:
        MissingError: if the folder lacks a part, or the pictures are gone.
    """
    description = read_description(model)
    dataset = _training_set(model)
    class_of = {each: n for n, each in enumerate(description.category_ids)}
    merged = _merged(model, dataset, class_of)
    indices = np.flatnonzero(~merged.is_human)
    weak = dataset.take(indices)
    found = predict(weak, model / STUDENT, device, progress)
    mask_seconds = times.mask.seconds
    doubts = [
        doubt_of(merged, index, prediction, mask_seconds)
        for index, (_, prediction) in zip(indices.tolist(), found, strict=True)
    ]
    ordered = sorted(doubts, key=lambda doubt: (-doubt.rate, doubt.index))
    spent = accumulate(doubt.seconds for doubt in ordered)
    kept = sum(seconds <= hours * 3600 for seconds in spent)
    return Review(merged, tuple(ordered[:kept]), len(ordered) - kept)


def doubt_of(merged: Merged, index: int, prediction: Prediction, mask_seconds: float) -> Doubt:
    """What correcting one image is expected to bring, and to take."""
    rows, pseudo = merged.drawn(index), merged.pseudo
    agreements, unseen = _agreement(merged, index, rows, prediction)
    ratings = np.clip(np.asarray(pseudo.scores, float)[rows], 0.0, 1.0)
    found = [
        InstanceDoubt(
            int(pseudo.annotation_ids[row]),
            int(pseudo.class_indices[row]),
            str(pseudo.sources[row]),
            rating,
            agreement,
            1.0 - (rating + agreement) / 2,
        )
        for row, rating, agreement in zip(rows, ratings.tolist(), agreements.tolist(), strict=True)
    ]
    for n in unseen:
        score, class_index = float(prediction.scores[n]), int(prediction.class_indices[n])
        found.append(InstanceDoubt(-1, class_index, UNSEEN, 0.0, 0.0, score))
    found.sort(key=lambda each: -each.gain)
    gain = sum(each.gain for each in found)
    return Doubt(index, tuple(found), GLANCE_SECONDS * max(1, len(found)) + mask_seconds * gain)


def _agreement(
    merged: Merged, index: int, rows: Sequence[int], prediction: Prediction
) -> tuple[np.ndarray, list[int]]:
    """``(R,)`` best IoU of each pseudo-mask with a prediction of its class; those unmatched."""
    sure = np.flatnonzero(prediction.scores >= SURE).tolist()
    rles = [merged.rle(index, row) for row in rows]
    if not rles or not sure:
        return np.zeros(len(rows)), sure
    overlap = np.asarray(mask_api.iou(rles, [prediction.rles[n] for n in sure], [0] * len(sure)))
    classes = np.asarray(merged.pseudo.class_indices)[list(rows)]
    overlap[classes[:, None] != prediction.class_indices[sure][None]] = 0.0
    alone = overlap.max(0) < SAME_IOU
    return overlap.max(1), [n for n, is_new in zip(sure, alone, strict=True) if is_new]


def write_review(folder: Path, review: Review, image_prefix: str = "") -> list[Path]:
    """Tasks with pre-annotations in the order of the review, their interface, and the listings."""
    dataset = review.merged.dataset
    write_texts(folder / CONFIG, [labelling_config(dataset.class_names)])
    tasks = (task(review.merged, doubt.index, image_prefix) for doubt in review.doubts)
    write_pieces(folder / TASKS, TASKS_HEAD, tasks, "\n]\n")
    for name, rows in ((LISTING, _listing(review)), (INSTANCES, _instances(review))):
        with output_file(folder / name) as part, part.open("w", newline="") as file:
            csv.writer(file).writerows(rows)
    return [folder / name for name in HEADS]


def _listing(review: Review) -> Iterator[list[object]]:
    yield [
        "rank", "image_id", "file_name", "pseudo_masks", "empty", "seen_by_student_only",
        "expected_iou_gain", "seconds", "hours_so_far",
    ]  # fmt: skip
    dataset, spent = review.merged.dataset, 0.0
    for rank, doubt in enumerate(review.doubts, start=1):
        spent += doubt.seconds
        yield [
            rank,
            int(dataset.image_ids[doubt.index]),
            plain_cell(str(dataset.file_names[doubt.index])),
            len(doubt.instances) - doubt.count(UNSEEN),
            doubt.count(EMPTY),
            doubt.count(UNSEEN),
            round(doubt.gain, 3),
            round(doubt.seconds, 1),
            round(spent / 3600, 3),
        ]


def _instances(review: Review) -> Iterator[list[object]]:
    yield [
        "image_id", "file_name", "annotation_id", "class", "source", "expected_iou",
        "agreement", "expected_iou_gain",
    ]  # fmt: skip
    dataset = review.merged.dataset
    pairs = [(doubt.index, each) for doubt in review.doubts for each in doubt.instances]
    for index, each in sorted(pairs, key=lambda pair: -pair[1].gain):
        yield [
            int(dataset.image_ids[index]),
            plain_cell(str(dataset.file_names[index])),
            each.annotation_id,
            plain_cell(dataset.class_names[each.class_index]),
            each.source,
            *(round(value, 3) for value in (each.expected_iou, each.agreement, each.gain)),
        ]


def _training_set(model: Path) -> Dataset:
    """The set that the model was trained on, by its card."""
    try:
        spec = parse_yaml(read_bytes(model / CARD), model / CARD)["datasets"][0]
        return open_dataset(spec["name"], spec["train"])
    except (InputError, KeyError, IndexError, TypeError) as error:
        remedy = "name a folder that omnicost train wrote"
        raise MissingError(
            model / CARD, f"does not name a training set ({error})", remedy
        ) from None


def _merged(model: Path, dataset: Dataset, class_of: dict[int, int]) -> Merged:
    """The merged labels of a model folder, empty pseudo-masks as well."""
    with _parsed(model / MERGED) as content:
        drawn = [each for each in content["annotations"] if each["source"] != HUMAN]
        rows = [_drawn_row(dataset, class_of, each) for each in drawn]
    names = {name: n for n, name in enumerate(dataset.class_names)}
    with _parsed(model / FIGURES) as figures:
        rows += [_empty_row(dataset, names, each) for each in figures["empty"]]
        pseudo = _pseudo_masks(rows, figures["quality"])
    given = dataset.given
    strengths = np.zeros(len(dataset), np.int8) if given is None else np.asarray(given)
    return Merged(dataset, strengths, pseudo)


@contextmanager
def _parsed(path: Path) -> Iterator[Any]:
    """The content of a file that a training wrote; a block that it does not fit is one line.

    Raises:
        MissingError: if it cannot be read, or was changed.
    """
    try:
        yield json.loads(read_bytes(path), parse_constant=_refuse_constant)
    except (InputError, LookupError, TypeError, ValueError, OverflowError) as error:
        problem = f"is not as omnicost train wrote it ({' '.join(str(error).split())})"
        raise MissingError(path, problem, "run omnicost train again") from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"a number is {name}")


def _drawn_row(dataset: Dataset, class_of: dict[int, int], record: dict[str, Any]) -> _Row:
    height, width = dataset.sizes[dataset.index_of(record["image_id"])].tolist()
    return _Row(
        record["image_id"],
        int(np.int64(record["id"])),
        class_of[record["category_id"]],
        float(record["score"]),
        record["source"],
        to_rle(record["segmentation"], height, width),
    )


def _empty_row(dataset: Dataset, names: dict[str, int], label: dict[str, Any]) -> _Row:
    size = dataset.sizes[dataset.index_of(label["image_id"])].tolist()
    class_index = names[label["class_name"]]
    return _Row(label["image_id"], label["annotation_id"], class_index, 0.0, EMPTY, empty(*size))


def _pseudo_masks(rows: Sequence[_Row], quality: Mapping[str, Mapping[str, Any]]) -> PseudoMasks:
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(_Row._fields)
    return PseudoMasks(
        image_ids=np.array(columns[0], np.int64),
        annotation_ids=np.array(columns[1], np.int64),
        class_indices=np.array(columns[2], np.int64),
        scores=_expected_ious(np.array(columns[3], float), columns[4], quality),
        sources=columns[4],
        counts=columns[5],
    )


def _expected_ious(
    scores: np.ndarray, sources: Sequence[str], quality: Mapping[str, Mapping[str, Any]]
) -> np.ndarray:
    """``(R,)`` IoU to expect by the score alone; labels without a mask stay at 0."""
    expected, named = scores.copy(), np.asarray(sources, object)
    for source, found in quality.items():
        own = named == source
        knots = (tuple(each) for each in found["calibration"])
        expected[own] = ScoreCalibration(*knots)(scores[own])
    return expected
