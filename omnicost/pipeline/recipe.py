"""`Recipe`: how teacher and student are made, as one frozen tree of settings."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from omnicost.annotation import AnnotationType
from omnicost.data.weak import PERFECT, AnnotatorNoise
from omnicost.engine.params import Params, added_field
from omnicost.pipeline.config import (
    NO_START,
    DetectConfig,
    EmbedConfig,
    ModelSpecs,
    PseudomaskConfig,
    RefineConfig,
    TeacherConfig,
)
from omnicost.pipeline.pseudomask.routes import route_of
from omnicost.pipeline.student.config import StudentConfig
from omnicost.pipeline.teacher.kinds import TeacherKind


class Recipe(Params):
    """Models and settings of every step; defaults are the paper's, or ours where it is silent."""

    models: ModelSpecs = ModelSpecs()
    noise: AnnotatorNoise = PERFECT
    embed: EmbedConfig = EmbedConfig()
    detect: DetectConfig = DetectConfig()
    teacher: TeacherConfig = TeacherConfig()
    refine: RefineConfig = RefineConfig()
    pseudomask: PseudomaskConfig = PseudomaskConfig()
    student: StudentConfig = StudentConfig()
    # Which images get a policy's masks: a seeded draw, or those whose pseudo-masks are expected to
    # gain most per second of drawing them (`pipeline.assignment`).
    assignment: Literal["random", "value"] = added_field("random")

    @model_validator(mode="after")
    def _refinement_sees_all(self) -> Recipe:
        if self.refine.tau_c < self.detect.keep_above:
            raise ValueError(
                f"refine.tau_c {self.refine.tau_c:g} is under detect.keep_above "
                f"{self.detect.keep_above:g}: proposals that it should use were never kept"
            )
        return self

    @model_validator(mode="after")
    def _start_fits_the_kind(self) -> Recipe:
        kind = self.student.architecture.kind
        if self.models.student != NO_START and kind != "mask2former":
            raise ValueError(
                f"models.student {self.models.student!r} is a Mask2Former, and "
                f"student.architecture.kind is {kind}: set one to suit the other"
            )
        return self

    def teachers(self, annotation: AnnotationType) -> dict[str, TeacherKind]:
        """The teachers that a weak type needs, by role (``point``, ``mask``)."""
        return route_of(annotation).teachers(self.teacher, self.refine)
