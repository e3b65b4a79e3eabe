"""What each stage of the paper's pipeline is told.

All but the runtime fields, which say where things lie, is in the stage's key.
"""

from __future__ import annotations

from typing import Literal

from omnicost.annotation import AnnotationType
from omnicost.data.weak import PERFECT, AnnotatorNoise
from omnicost.engine.params import Params, StoppedParams, added_field, runtime_field
from omnicost.pipeline import embed as embed_step
from omnicost.pipeline.config import (
    DEFAULT_REFINE,
    DEFAULT_SELECT,
    EmbedConfig,
    ProposalConfig,
    PseudomaskConfig,
    RefineConfig,
    SelectConfig,
    TeacherConfig,
)
from omnicost.pipeline.portions import WHOLE, Portion
from omnicost.pipeline.student.config import StudentConfig
from omnicost.pipeline.teacher.kinds import TeacherKind
from omnicost.results import PolicyField
from omnicost.sweep.sources import SplitSource, WeightsSource


class Encoding(Params):
    """How images that are in no cache are encoded in passing."""

    config: EmbedConfig
    version: int = embed_step.VERSION


class EmbedParams(Params):
    """SAM's image embeddings of a portion of a split, in the order in which it is labelled."""

    data: SplitSource
    sam: WeightsSource
    config: EmbedConfig
    portion: Portion = WHOLE


class DetectParams(Params):
    """GroundingDINO's proposals on a portion; in mode ``present`` the tags of `annotation`."""

    data: SplitSource
    detector: WeightsSource
    config: ProposalConfig
    mode: Literal["all", "present"]
    portion: Portion = WHOLE
    annotation: AnnotationType = AnnotationType.CLASS
    noise: AnnotatorNoise = PERFECT
    seed: int = 0


class Tuning(Params):
    """How a teacher is tuned on the images with masks; `validation` only shows in its log."""

    data: SplitSource
    text: WeightsSource | None
    config: TeacherConfig
    encoding: Encoding
    mask_share: float
    seed: int
    fold: int | None = added_field(None)  # part of the images with masks that is kept from it
    validation: SplitSource | None = runtime_field(None)


class TeacherParams(Params):
    """One kind of teacher; without tuning the released weights serve."""

    kind: TeacherKind
    sam: WeightsSource
    tuning: Tuning | None = None


class PseudomaskParams(Params):
    """Pseudo-masks of one weak type on the images of the policy that have it.

    With a `fold` on that part of its images with masks, as if they had the weak type.
    """

    data: SplitSource
    sam: WeightsSource
    text: WeightsSource | None
    encoding: Encoding
    config: PseudomaskConfig
    annotation: AnnotationType
    policy: PolicyField
    noise: AnnotatorNoise
    seed: int | None  # None where nothing is drawn
    select: SelectConfig = DEFAULT_SELECT
    refine: RefineConfig = DEFAULT_REFINE
    fold: int | None = added_field(None)


class QualityParams(Params):
    """How far pseudo-masks agree with the ground truth of the images that they label."""

    data: SplitSource
    policy: PolicyField
    seed: int | None  # None where every image is labelled alike


class AssignParams(Params):
    """Which images get the masks of a policy, by what its weak type leaves to gain."""

    data: SplitSource
    policy: PolicyField
    seed: int


class CalibrateParams(Params):
    """How good pseudo-masks of a weak type are on the policy's images with masks."""

    data: SplitSource
    annotation: AnnotationType
    policy: PolicyField
    seed: int


class StudentParams(Params):
    """A student on the real masks of a policy, and on pseudo-masks elsewhere.

    Its trunk, where the config has one, is read in the role ``trunk``.
    """

    data: SplitSource
    backbone: WeightsSource | None  # without a start
    start: WeightsSource | None
    config: StudentConfig
    policy: PolicyField
    seed: int
    validation: SplitSource | None = runtime_field(None)  # where it is scored as it goes


class EvaluateParams(Params):
    """A student's AP on a split."""

    data: SplitSource


class SalvageParams(StoppedParams):
    """The AP of a student that was stopped."""

    data: SplitSource
    student: StudentParams
