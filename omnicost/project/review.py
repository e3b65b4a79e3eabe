"""Which pseudo-masks to correct first: expected gain per second of an annotator's time.

A pseudo-mask's expected IoU is the mean of two opinions of it: the teacher's rating, and how well
the student, which saw all images, agrees with it. What both doubt is worth looking at; what they
agree on is not. Correcting an instance costs a glance, and a new mask as often as one is needed.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from pycocotools import mask as mask_api

from omnicost.cost.times import LabellingTimes
from omnicost.data import Dataset, open_dataset
from omnicost.data.exports.label_studio import TASKS_HEAD, labelling_config, task
from omnicost.data.exports.merged import Merged, PseudoMasks
from omnicost.data.exports.pieces import write_pieces, write_texts
from omnicost.data.exports.regions import HUMAN
from omnicost.errors import InputError, MissingError
from omnicost.files import output_file, read_bytes
from omnicost.models.students.student import Prediction
from omnicost.pipeline.evaluate import predict
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
CONFIG: Final = "labelling_config.xml"
LISTING_HEAD: Final = "rank,image_id,file_name,pseudo_masks"  # how ours begin
CONFIG_HEAD: Final = "<View>"


@dataclass(frozen=True)
class Doubt:
    """One image and what correcting it is expected to bring.

    Args:
        index: in the data set.
        instances: pseudo-masks, empty ones too.
        empty: those without a pixel.
        unlabelled: instances that only the student sees.
        gain: IoU expected to be gained, summed over instances.
        seconds: expected to be spent.
    """

    index: int
    instances: int
    empty: int
    unlabelled: int
    gain: float
    seconds: float

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
    rows = merged.drawn(index)
    agreements, unseen = _agreement(merged, index, rows, prediction)
    ratings = np.clip(np.asarray(merged.pseudo.scores, float)[rows], 0.0, 1.0)
    doubts = [*(1.0 - (ratings + agreements) / 2).tolist(), *unseen]
    gain = float(sum(doubts))
    return Doubt(
        index=index,
        instances=len(rows),
        empty=sum(not mask_api.area(merged.rle(index, row)) for row in rows),
        unlabelled=len(unseen),
        gain=gain,
        seconds=GLANCE_SECONDS * max(1, len(doubts)) + mask_seconds * gain,
    )


def _agreement(
    merged: Merged, index: int, rows: Sequence[int], prediction: Prediction
) -> tuple[np.ndarray, list[float]]:
    """``(R,)`` best IoU of each pseudo-mask with a prediction of its class; scores of unmatched."""
    sure = np.flatnonzero(prediction.scores >= SURE).tolist()
    rles = [merged.rle(index, row) for row in rows]
    if not rles or not sure:
        return np.zeros(len(rows)), [float(prediction.scores[n]) for n in sure]
    overlap = np.asarray(mask_api.iou(rles, [prediction.rles[n] for n in sure], [0] * len(sure)))
    classes = np.asarray(merged.pseudo.class_indices)[list(rows)]
    overlap[classes[:, None] != prediction.class_indices[sure][None]] = 0.0
    alone = overlap.max(0) < SAME_IOU
    return overlap.max(1), [
        float(prediction.scores[n]) for n, is_new in zip(sure, alone, strict=False) if is_new
    ]


def write_review(folder: Path, review: Review, image_prefix: str = "") -> list[Path]:
    """Tasks with pre-annotations in the order of the review, their interface, and the listing."""
    dataset = review.merged.dataset
    paths = [folder / name for name in (CONFIG, TASKS, LISTING)]
    write_texts(paths[0], [labelling_config(dataset.class_names)])
    tasks = (task(review.merged, doubt.index, image_prefix) for doubt in review.doubts)
    write_pieces(paths[1], TASKS_HEAD, tasks, "\n]\n")
    with output_file(paths[2]) as part, part.open("w", newline="") as file:
        csv.writer(file).writerows(_listing(review))
    return paths


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
            doubt.instances,
            doubt.empty,
            doubt.unlabelled,
            round(doubt.gain, 3),
            round(doubt.seconds, 1),
            round(spent / 3600, 3),
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
    try:
        content = json.loads((model / MERGED).read_text())
        empty = json.loads((model / FIGURES).read_text())["empty"]
    except (OSError, ValueError, KeyError) as error:
        problem = f"cannot be read ({error})"
        raise MissingError(model / MERGED, problem, "run omnicost train again") from None
    drawn = [each for each in content["annotations"] if each["source"] != HUMAN]
    names = {name: n for n, name in enumerate(dataset.class_names)}
    rows = [
        _Row(
            a["image_id"], a["id"], class_of[a["category_id"]], a["score"], a["source"], _counts(a)
        )
        for a in drawn
    ] + [
        _Row(e["image_id"], e["annotation_id"], names[e["class_name"]], 0.0, "empty", blank)
        for e, blank in zip(empty, _blank_masks(dataset, empty), strict=True)
    ]
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(_Row._fields)
    pseudo = PseudoMasks(
        image_ids=np.array(columns[0], np.int64),
        annotation_ids=np.array(columns[1], np.int64),
        class_indices=np.array(columns[2], np.int64),
        scores=np.array(columns[3], float),
        sources=columns[4],
        counts=columns[5],
    )
    given = dataset.given
    strengths = np.zeros(len(dataset), np.int8) if given is None else np.asarray(given)
    return Merged(dataset, strengths, pseudo)


def _counts(annotation: dict[str, Any]) -> bytes:
    return annotation["segmentation"]["counts"].encode("ascii")


def _blank_masks(dataset: Dataset, empty: Sequence[dict[str, Any]]) -> list[bytes]:
    sizes = [dataset.sizes[dataset.index_of(each["image_id"])] for each in empty]
    return [mask_api.encode(np.zeros(size, np.uint8, order="F"))["counts"] for size in sizes]
