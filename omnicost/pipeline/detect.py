"""Detect: GroundingDINO runs once per image and caption mode, never once per cell."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch

from omnicost.annotation import AnnotationType
from omnicost.data import AnnotatorNoise, Dataset, weak_label
from omnicost.data.weak import PERFECT
from omnicost.files import whole_file
from omnicost.models.detectors.detector import Caption, Detector, Queries, load_detector
from omnicost.pipeline.compute import (
    ahead,
    autocast,
    batches,
    float32_products,
    join_parts,
    workers_of,
)
from omnicost.pipeline.config import ProposalConfig
from omnicost.pipeline.portions import WHOLE, Portion
from omnicost.pipeline.proposals import DETECTIONS, Proposals
from omnicost.progress import Progress, silent

VERSION = 2  # raise when the same parameters give another output
PART_IMAGES = 512  # images between two checkpoints
_BLANK = np.zeros((32, 32, 3), np.uint8)  # where nothing is asked
Mode = Literal["all", "present"]


def run(
    dataset: Dataset,
    detector: str,
    config: ProposalConfig,
    *,
    mode: Mode,
    out: Path,
    work: Path,
    annotation: AnnotationType = AnnotationType.CLASS,
    noise: AnnotatorNoise = PERFECT,
    seed: int = 0,
    device: str = "cpu",
    report: Progress = silent,
    portion: Portion = WHOLE,
) -> None:
    """Write every proposal above ``keep_above`` on every image into ``out``.

    Args:
        dataset: the training split.
        detector: spec of the GroundingDINO.
        config: scores and floor; thresholds and NMS apply when the proposals are used.
        mode: ``all`` asks for every class, ``present`` for those that the image is labelled with.
        out: folder for ``detections.parquet`` (image_id, class_index, score, box).
        work: scratch kept over restarts.
        annotation: the weak labels whose classes are present, with their noise and seed.
        device: a torch device.
        report: told of the images done.
        portion: of the images.
    """
    loaded = load_detector(detector, device)
    source = _Source(dataset, loaded, mode, annotation, noise, seed)
    chosen = list(range(len(dataset)))[portion.of(len(dataset))]
    parts = batches(chosen, PART_IMAGES)
    done = 0

    def further(more: int) -> None:
        report(done + more, len(chosen), {})

    for number, images in enumerate(parts):
        path = _part_path(work, number)
        if not path.exists():
            with float32_products(config.precision):
                found = detect(source, images, config, further)
            write_proposals(path, dataset, found)
        done += len(images)
        further(0)
    join_parts([_part_path(work, number) for number in range(len(parts))], out / DETECTIONS)


class _Source(NamedTuple):
    dataset: Dataset
    detector: Detector
    mode: Mode
    annotation: AnnotationType
    noise: AnnotatorNoise
    seed: int

    def captions(self, index: int) -> list[Caption]:
        """What to ask about an image; nothing if it is labelled as empty."""
        names = self.dataset.class_names
        if self.mode == "all":
            return self.detector.captions(names, range(len(names)))
        label = weak_label(self.dataset, index, self.annotation, self.noise, self.seed)
        return self.detector.captions(names, np.unique(label.class_indices).tolist())


class _Question(NamedTuple):
    """Images of one size, each with its captions, decoded and scaled."""

    indices: list[int]
    pixels: dict[str, torch.Tensor]
    captions: list[list[Caption]]


def detect(
    source: _Source, images: Sequence[int], config: ProposalConfig, done: Callable[[int], None]
) -> dict[int, Proposals]:
    """Proposals on some images, which are batched by equal size; `done` is told how many."""
    groups = _of_equal_size(source.dataset, images, config.batch_images)
    found: dict[int, Proposals] = {}
    workers = workers_of(config.workers)
    for question in ahead(lambda group: _question(source, group), groups, workers):
        for index, parts in zip(question.indices, _ask(source, question, config), strict=True):
            size = source.dataset.sizes[index].tolist()
            found[index] = to_proposals(parts, size, config.keep_above)
        done(len(found))
    return found


def to_proposals(
    parts: Sequence[tuple[Caption, Queries]], size: Sequence[int], keep_above: float
) -> Proposals:
    """The queries under an image's captions as proposals, best first.

    Args:
        parts: each caption with its queries; every one's best class counts.
        size: height and width of the image in pixels.
        keep_above: least score.
    """
    scale = torch.tensor([size[1], size[0], size[1], size[0]], dtype=torch.float32)
    columns: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
    for caption, queries in parts:
        scores, best = queries.scores.max(1)
        boxes = (queries.boxes.clamp(0, 1) * scale).float()
        some = (scores >= keep_above) & (boxes[:, 2:] > boxes[:, :2]).all(1)
        columns.append((boxes[some], scores[some], torch.tensor(caption.class_indices)[best[some]]))
    if not columns:
        return Proposals(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, int))
    found = Proposals(*(torch.cat(column).numpy() for column in zip(*columns, strict=True)))
    return found.take(np.argsort(-found.scores, kind="stable"))


def _of_equal_size(dataset: Dataset, images: Sequence[int], size: int) -> list[list[int]]:
    by_size: dict[tuple[int, ...], list[int]] = {}
    for index in images:
        by_size.setdefault(tuple(dataset.sizes[index].tolist()), []).append(index)
    return [group for same in by_size.values() for group in batches(same, size)]


def _question(source: _Source, indices: list[int]) -> _Question:
    captions = {index: source.captions(index) for index in indices}
    asked = [index for index in indices if captions[index]]
    pixels = source.detector.pixels([source.dataset.image(index) for index in asked] or [_BLANK])
    empty = [index for index in indices if not captions[index]]
    return _Question(asked + empty, pixels, [captions[index] for index in asked + empty])


def _ask(
    source: _Source, question: _Question, config: ProposalConfig
) -> list[list[tuple[Caption, Queries]]]:
    """Every image's captions with their queries, one caption of each image at a time."""
    answers: list[list[tuple[Caption, Queries]]] = [[] for _ in question.indices]
    rounds = max(map(len, question.captions))
    for number in range(rounds):
        rows = [row for row, each in enumerate(question.captions) if len(each) > number]
        captions = [question.captions[row][number] for row in rows]
        pixels = {name: value[rows] for name, value in question.pixels.items()}
        with autocast(source.detector.model.device, config.precision):
            queries = source.detector.ask(pixels, captions, config.score)
        for row, caption, each in zip(rows, captions, queries, strict=True):
            answers[row].append((caption, each))
    return answers


def write_proposals(path: Path, dataset: Dataset, found: Mapping[int, Proposals]) -> None:
    """Write proposals as a table, by image index in ascending order."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    order = sorted(found)
    counts = [len(found[index].scores) for index in order]
    image_ids = np.repeat(dataset.image_ids[order], counts)
    rows = Proposals(
        *(np.concatenate(column) for column in zip(*(found[i] for i in order), strict=True))
    )
    boxes = pa.FixedSizeListArray.from_arrays(pa.array(rows.boxes.ravel(), pa.float32()), 4)
    table = pa.table(
        {
            "image_id": pa.array(image_ids, pa.int64()),
            "class_index": pa.array(rows.class_indices, pa.int32()),
            "score": pa.array(rows.scores, pa.float32()),
            "box": boxes,
        }
    )
    with whole_file(path) as part:
        pq.write_table(table, part)


def _part_path(work: Path, number: int) -> Path:
    return work / f"detections-{number:05d}.parquet"
