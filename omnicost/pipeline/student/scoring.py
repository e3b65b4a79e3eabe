"""Scoring a student as it goes on: what a schedule's end will bring shows before it."""

from __future__ import annotations

from pathlib import Path

from omnicost.data import Dataset
from omnicost.files import write_json
from omnicost.models.students import student as interface
from omnicost.models.students.student import Student
from omnicost.pipeline.evaluate import coco_metrics, predict
from omnicost.pipeline.student.config import StudentConfig
from omnicost.pipeline.student.score_files import SCORES, scores_in, step_of
from omnicost.progress import silent

_SCORED = "scored.safetensors"


class Scoring:
    """Scores a student after some of its steps; its training is the same with and without.

    On several devices the others wait meanwhile. A student that is taken up from before such a
    step is scored again there.

    Args:
        work: folder that keeps the scores until the student is done.
    """

    def __init__(self, validation: Dataset, config: StudentConfig, work: Path, device: str) -> None:
        self._validation = validation
        self._steps = {step_of(share, config.schedule.steps) for share in config.score_at}
        self._work = work
        self._device = device

    def after(self, step: int, student: Student) -> None:
        """Score the student if this is one of the steps."""
        if step not in self._steps:
            return
        weights = self._work / _SCORED
        interface.save(weights, student)
        found = predict(self._validation, weights, self._device, silent)
        ap = coco_metrics(self._validation, found)["AP"] or 0.0
        write_json(self._work / SCORES, {**scores_in(self._work), step: ap})
        weights.unlink()
