"""`Job`: which pseudo-masks to draw, as plain data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from omnicost.annotation import AnnotationType
from omnicost.data.weak import PERFECT, AnnotatorNoise
from omnicost.pipeline.config import DEFAULT_REFINE, DEFAULT_SELECT, RefineConfig, SelectConfig


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
