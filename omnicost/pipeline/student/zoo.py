"""Students of detectron2's zoo: our schedule and labels, its trainer, checkpoints and views."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pycocotools import mask as mask_api

from omnicost.data.seeding import derive_seed
from omnicost.errors import InputError
from omnicost.models.students import detectron2_backend as backend
from omnicost.models.students.settings import Detectron2Settings
from omnicost.models.students.student import Student
from omnicost.pipeline.compute import workers_of
from omnicost.pipeline.student.config import StudentConfig
from omnicost.pipeline.student.data import TrainingSet, World
from omnicost.progress import Progress


def train(
    training: TrainingSet,
    config: StudentConfig,
    seed: int,
    work: Path,
    device: str,
    report: Progress,
    world: World,
) -> Student:
    """Train a student of the zoo; see its backend.

    Raises:
        InputError: for several processes.
    """
    settings, schedule = config.architecture, config.schedule
    if not isinstance(settings, Detectron2Settings) or world.size > 1:
        raise InputError("student.architecture.kind", "detectron2 on several processes", "use one")
    work.mkdir(parents=True, exist_ok=True)
    plan = backend.SolverSettings(
        schedule.steps,
        schedule.batch_images,
        schedule.drop_at,
        config.checkpoint_every,
        config.log_every,
        workers_of(config.workers),
        derive_seed(seed, "student detectron2"),
    )
    names = training.dataset.class_names
    return backend.train(settings, _records(training), names, plan, work, device, report)


def _records(training: TrainingSet) -> list[backend.Record]:
    """What each usable image teaches, for a trainer that reads pictures itself."""
    dataset, records = training.dataset, []
    for index in training.indices.tolist():
        labels = training.labels(index)
        boxes = mask_api.toBbox(list(labels.rles)) if labels.rles else np.zeros((0, 4))
        boxes[:, 2:] += boxes[:, :2]
        height, width = dataset.sizes[index].tolist()
        instances = [
            {"bbox": box, "bbox_mode": 0, "category_id": int(kind), "segmentation": rle}  # XYXY_ABS
            for box, kind, rle in zip(boxes.tolist(), labels.classes, labels.rles, strict=True)
        ]
        records.append(
            {
                "file_name": str(dataset.path(index)),
                "image_id": int(dataset.image_ids[index]),
                "height": height,
                "width": width,
                "annotations": instances,
            }
        )
    return records
