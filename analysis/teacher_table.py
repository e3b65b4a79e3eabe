"""Table 5 of the paper on tiny-coco: teacher mIoU by prompts, class-awareness and share of masks.

Each teacher is tuned on the labelled share of the training images and asked about the validation
images: with a point alone (P-SAM), with a point and its box after Algorithm 1 (BP-SAM), with the
true box. Three seeds; the figures are printed whichever way they fall.

    python analysis/teacher_table.py --out results/tiny/teacher_table.json   # about half an hour
    python analysis/teacher_table.py --steps 3 --seeds 1                     # a smoke run
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import mean, stdev
from typing import Annotated, NamedTuple

import numpy as np
import typer
from pycocotools import mask as mask_api

from omnicost.annotation import AnnotationType, Policy
from omnicost.data import Dataset, open_dataset
from omnicost.data.splits import assign
from omnicost.pipeline import detect, embed, pseudomask, teacher
from omnicost.pipeline.config import (
    DEFAULT_DETECT,
    DEFAULT_EMBED,
    PseudomaskConfig,
    RefineConfig,
    TeacherConfig,
)
from omnicost.pipeline.kinds import TeacherKind
from omnicost.pipeline.pseudomask import Job

SHARES = (0.01, 0.1)
COLUMNS = ("point", "point + GroundingDINO", "box")
SPEC = "tiny"


class Entry(NamedTuple):
    """One measurement of one seed."""

    share: float
    class_aware: bool
    prompts: str
    seed: int
    miou: float  # percent, mean over the instances


def compute_teacher_table_info(root: Path, config: TeacherConfig, seeds: int) -> list[Entry]:
    """Tune every teacher and measure its masks on the validation images."""
    train, val = (open_dataset("tiny-coco", split, root=root) for split in ("train", "val"))
    embeddings = _folder(root / "embeddings")
    embed.run(train, SPEC, DEFAULT_EMBED, out=embeddings, work=_folder(root / "embedding"))
    found = _folder(root / "detections")
    work = _folder(root / "detecting")
    detect.run(val, SPEC, DEFAULT_DETECT, mode="present", out=found, work=work)
    return [
        entry
        for seed in range(seeds)
        for share in SHARES
        for aware in (False, True)
        for entry in _entries(root, train, val, embeddings, found, config, share, aware, seed)
    ]


def _entries(
    root: Path,
    train: Dataset,
    val: Dataset,
    embeddings: Path,
    found: Path,
    config: TeacherConfig,
    share: float,
    aware: bool,
    seed: int,
) -> Iterator[Entry]:
    here = _folder(root / f"{share}-{aware}-{seed}")
    strengths = assign(train, Policy.cell("none", share), seed)
    labelled = np.flatnonzero(strengths == AnnotationType.MASK.strength)
    tuned = {}
    for prompts in ("point", "point_box", "box"):
        tuned[prompts] = _folder(here / prompts)
        teacher.run(
            train,
            SPEC,
            SPEC,
            config,
            kind=TeacherKind(prompts, aware),
            labelled=labelled.tolist(),
            seed=seed,
            embeddings=embeddings,
            out=tuned[prompts],
            work=_folder(here / f"{prompts}-work"),
        )
    images = range(len(val))
    p_sam, bp_sam = {"point": tuned["point"]}, {"point": tuned["point"], "mask": tuned["point_box"]}
    alone = RefineConfig(enabled=False)
    point, box = AnnotationType.POINT, AnnotationType.BOX
    jobs = [
        Job(point, images, _folder(here / "a"), p_sam, refine=alone, seed=seed),
        Job(point, images, _folder(here / "b"), bp_sam, found, seed=seed),
        Job(box, images, _folder(here / "c"), {"mask": tuned["box"]}),
    ]
    pseudomask.run(val, SPEC, SPEC, PseudomaskConfig(), jobs, work=_folder(here / "work"))
    for column, job in zip(COLUMNS, jobs, strict=True):
        yield Entry(share, aware, column, seed, 100 * mean_iou(val, job.out))


def mean_iou(dataset: Dataset, folder: Path) -> float:
    """Mean over the instances; one without a mask counts 0."""
    drawn = {row["annotation_id"]: row for row in pseudomask.read(folder).to_pylist()}
    ious = []
    for index in range(len(dataset)):
        truth = dataset.instances(index)
        for annotation_id, rle in zip(truth.annotation_ids.tolist(), truth.rles, strict=True):
            row = drawn.get(annotation_id)
            mask = row and {"size": [row["height"], row["width"]], "counts": row["rle"]}
            ious.append(float(mask_api.iou([mask], [rle], [0])[0, 0]) if mask else 0.0)
    return mean(ious)


def draw_teacher_table(entries: list[Entry]) -> str:
    """The table in the paper's form: mean and standard deviation over the seeds, in percent."""
    lines = [f"{'masks':6} {'class':6} " + " ".join(f"{name:>22}" for name in COLUMNS)]
    for share in SHARES:
        for aware in (False, True):
            cells = []
            for column in COLUMNS:
                told = [e.miou for e in entries if e[:3] == (share, aware, column)]
                spread = stdev(told) if len(told) > 1 else 0.0
                cells.append(f"{mean(told):13.1f} +- {spread:5.1f}")
            lines.append(f"{share:<6.0%} {'yes' if aware else 'no':6} " + " ".join(cells))
    return "\n".join(lines)


def _folder(path: Path) -> Path:
    path.mkdir(parents=True)
    return path


def main(
    steps: Annotated[int, typer.Option(help="Steps of each teacher.")] = 600,
    learning_rate: Annotated[float, typer.Option(help="Of the first three quarters.")] = 1e-4,
    seeds: Annotated[int, typer.Option(help="Seeds.")] = 3,
    out: Annotated[Path | None, typer.Option(help="Where the entries go as JSON.")] = None,
) -> None:
    """Measure and print the table."""
    config = TeacherConfig(
        steps=steps,
        late_step=3 * steps // 4,
        learning_rate=learning_rate,
        late_learning_rate=learning_rate / 10,
    )
    with tempfile.TemporaryDirectory() as folder:
        entries = compute_teacher_table_info(Path(folder), config, seeds)
    typer.echo(draw_teacher_table(entries))
    if out is not None:
        out.write_text(json.dumps([entry._asdict() for entry in entries], indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)
