"""A small world with teachers and detections, and jobs that draw its pseudo-masks."""

from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as mask_api
from teacher_world import text_folder, tiny_sam, write_dataset

from omnicost.annotation import PAPER_TYPES, AnnotationType
from omnicost.data import Dataset
from omnicost.pipeline.config import (
    PseudomaskConfig,
    RefineConfig,
    TeacherConfig,
)
from omnicost.pipeline.detect import write_proposals
from omnicost.pipeline.proposals import Proposals
from omnicost.pipeline.pseudomask import generate as pseudomask
from omnicost.pipeline.pseudomask.routes import route_of
from omnicost.pipeline.pseudomask.rows import Job
from omnicost.pipeline.teacher import train as teacher
from omnicost.pipeline.teacher.kinds import TeacherKind

NONE, CLASS, POINT, BOX, MASK = PAPER_TYPES


SCRIBBLE = AnnotationType.SCRIBBLE


KINDS = ("box/plain", "box/class", "point/class", "point_box/class", "scribble/class",
         "scribble_box/class")  # fmt: skip


IMAGES = tuple(range(7))


BRIEF = TeacherConfig(steps=2, batch_images=3, points=32, learning_rate=1e-4, workers=0)


def found_on(dataset: Dataset, index: int) -> Proposals:
    """Each true box moved by a pixel, at 0.8; one of another class at 0.5; one at 0.2."""
    truth = dataset.instances(index)
    boxes = np.concatenate([truth.boxes + 1, [[1, 1, 30, 30], [2, 2, 20, 20]]]).astype(np.float32)
    scores = np.array([0.8] * len(truth.boxes) + [0.5, 0.2], np.float32)
    classes = np.concatenate([truth.class_indices, [0, 1]])
    return Proposals(boxes, scores, classes)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> dict:
    root = tmp_path_factory.mktemp("pseudomask")
    sam = tiny_sam()
    sam.save_pretrained(root / "sam")
    dataset = write_dataset(root / "data", images=7, seed=4)
    made = {"sam": sam, "spec": str(root / "sam"), "text": text_folder(root / "text")}
    (root / "found").mkdir()
    write_proposals(
        root / "found" / "detections.parquet",
        dataset,
        {index: found_on(dataset, index) for index in IMAGES},
    )
    for folder, labelled in (("released", []), ("tuned", IMAGES)):
        for name in KINDS:
            out = root / folder / name.replace("/", "-")
            work = out.with_name(out.name + "-work")
            out.mkdir(parents=True)
            work.mkdir()
            teacher.run(
                dataset,
                made["spec"],
                made["text"],
                BRIEF,
                kind=TeacherKind.parse(name),
                labelled=labelled,
                seed=0,
                out=out,
                work=work,
            )
    return {**made, "dataset": dataset, "root": root, "found": root / "found"}


def job(world: dict, annotation: AnnotationType, out: Path, tuned: str = "tuned", **changes) -> Job:
    out.mkdir(parents=True, exist_ok=True)
    refine = changes.get("refine", RefineConfig())
    kinds = {}
    if annotation is not AnnotationType.MASK:
        kinds = route_of(annotation).teachers(TeacherConfig(), refine)
    folders = {r: world["root"] / tuned / str(k).replace("/", "-") for r, k in kinds.items()}
    return Job(annotation, changes.pop("images", IMAGES), out, folders, [world["found"]], **changes)


def run(world: dict, jobs: list[Job], work: Path, **changes) -> list[list[dict]]:
    work.mkdir(exist_ok=True)
    config = changes.pop("config", PseudomaskConfig(part_images=3, images_per_block=2))
    pseudomask.run(
        world["dataset"], world["spec"], world["text"], config, jobs, work=work, **changes
    )
    return [pseudomask.read(each.out).to_pylist() for each in jobs]


def decoded(row: dict) -> np.ndarray:
    rle = {"size": [row["height"], row["width"]], "counts": row["rle"]}
    return mask_api.decode(rle).astype(bool)
