"""Claim: a process that decodes and augments takes the waiting out of a student's step.

Steps of the tiny network on views of 640 x 640 pictures with 20 instances, jittered at large scale
as COCO's recipe does: first read by the thread that trains, then by a worker. The share of time
waiting is the one that `omnicost store ls` shows. One thread trains; two cores are needed.

    python analysis/benchmarks/student_loading.py              # two minutes on two free cores
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from bench_world import write_pictures

from omnicost.annotation import AnnotationType
from omnicost.pipeline.student import data as student_data
from omnicost.pipeline.student.config import StudentConfig
from omnicost.pipeline.student.data import (
    ALONE,
    StepBatches,
    TrainingSet,
    loader,
    read_pseudo_labels,
)
from omnicost.pipeline.student.step import build_optimizer, build_scaler, train_step
from omnicost.pipeline.student.train import build_student
from omnicost.progress import waited_seconds

SIDE, CROP, INSTANCES, PICTURES, BATCH = 640, 192, 20, 24, 4


def config_of(steps: int, workers: int) -> StudentConfig:
    """The tiny recipe on large pictures, their views cut to what its network is for."""
    return StudentConfig.model_validate(
        {
            "preset": "tiny",
            "schedule": {"steps": steps, "batch_images": BATCH},
            "augment": {"crop": (CROP, CROP), "jitter": (0.1, 2.0)},
            "workers": workers,
        }
    )


def measure(training: TrainingSet, config: StudentConfig) -> dict[str, float]:
    """Seconds a step and the share of them spent waiting, after a first step that starts up."""
    model = build_student(config, training.dataset.class_names, "tiny", seed=0).train()
    optimizer, scaler = build_optimizer(model, config.optimizer), build_scaler(config, "cpu")
    started = waited = 0.0
    for batch in loader(StepBatches(training, config, 0), 0, "cpu"):
        if batch.step == 1:
            started, waited = time.perf_counter(), waited_seconds()
        train_step(model, batch, optimizer, scaler, config, "cpu", ALONE)
    seconds = time.perf_counter() - started
    waiting = (waited_seconds() - waited) / seconds
    return {
        "seconds_per_step": round(seconds / (config.schedule.steps - 1), 3),
        "waiting": round(waiting, 3),
    }


def main(
    steps: Annotated[int, typer.Option(help="Steps of each, the first not timed.")] = 21,
    out: Annotated[Path | None, typer.Option(help="JSON file to write.")] = None,
) -> None:
    """Time a student's steps without workers and with one."""
    torch.set_num_threads(1)
    student_data.CACHE_BYTES = 0  # as if the pictures were too many to keep
    with tempfile.TemporaryDirectory() as folder:
        dataset = write_pictures(Path(folder) / "data", PICTURES, SIDE, INSTANCES)
        masks = np.full(len(dataset), AnnotationType.MASK.strength)
        found = {}
        for workers in (0, 1):
            config = config_of(steps, workers)
            training = TrainingSet(dataset, masks, read_pseudo_labels([]), config)
            found[f"workers_{workers}"] = measure(training, config)
    ratio = found["workers_0"]["seconds_per_step"] / found["workers_1"]["seconds_per_step"]
    text = json.dumps({"steps": steps, **found, "ratio": round(ratio, 2)}, indent=1)
    print(text)
    if out is not None:
        out.write_text(text + "\n")


if __name__ == "__main__":
    typer.run(main)
