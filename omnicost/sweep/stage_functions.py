"""The stages of the paper's pipeline: what each is told, and what its function does on a worker.

A function reads its `Params` and the artefacts of its inputs; runtime fields of the parameters say
where things lie. Every other field is in the stage's key, and so is the version of its step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import numpy as np
import torch.distributed as distributed

from omnicost.annotation import AnnotationType, Policy
from omnicost.data import Dataset
from omnicost.data.splits import assign, masked_images
from omnicost.data.weak import PERFECT, AnnotatorNoise
from omnicost.engine.execute import StageContext
from omnicost.engine.graph import Stage, StageKind, by_role
from omnicost.engine.params import Params, StoppedParams, runtime_field
from omnicost.errors import InputError
from omnicost.models.students import student as interface
from omnicost.models.teachers.teacher import GPU_PROMPTS
from omnicost.pipeline import detect as detect_step
from omnicost.pipeline import embed as embed_step
from omnicost.pipeline import evaluate as evaluate_step
from omnicost.pipeline import mask_quality as quality_step
from omnicost.pipeline.config import (
    DEFAULT_REFINE,
    DEFAULT_SELECT,
    NO_START,
    EmbedConfig,
    ProposalConfig,
    PseudomaskConfig,
    RefineConfig,
    SelectConfig,
    TeacherConfig,
)
from omnicost.pipeline.portions import WHOLE, Portion
from omnicost.pipeline.pseudomask import generate as pseudomask_step
from omnicost.pipeline.pseudomask.job import Job
from omnicost.pipeline.student import train as student_step
from omnicost.pipeline.student.config import StudentConfig
from omnicost.pipeline.student.data import World
from omnicost.pipeline.teacher import train as teacher_step
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
    validation: SplitSource | None = runtime_field(None)


class TeacherParams(Params):
    """One kind of teacher; without tuning the released weights serve."""

    kind: TeacherKind
    sam: WeightsSource
    tuning: Tuning | None = None


class PseudomaskParams(Params):
    """Pseudo-masks of one weak type on the images of the policy that have it."""

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


class QualityParams(Params):
    """How far pseudo-masks agree with the ground truth of the images that they label."""

    data: SplitSource
    policy: PolicyField
    seed: int | None  # None where every image is labelled alike


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


def embed(context: StageContext[EmbedParams]) -> None:
    """SAM's image embeddings of a portion of the training split."""
    told = context.params
    embed_step.run(
        told.data.open(),
        told.sam.spec,
        told.config,
        portion=told.portion,
        out=context.out,
        work=context.work,
        device=context.device,
        report=context.report,
    )


def detect(context: StageContext[DetectParams]) -> None:
    """GroundingDINO's proposals on a portion of the training split."""
    told = context.params
    detect_step.run(
        told.data.open(),
        told.detector.spec,
        told.config,
        mode=told.mode,
        portion=told.portion,
        annotation=told.annotation,
        noise=told.noise,
        seed=told.seed,
        out=context.out,
        work=context.work,
        device=context.device,
        report=context.report,
    )


def teacher(context: StageContext[TeacherParams]) -> None:
    """One kind of teacher, tuned on the images with masks."""
    told, tuning = context.params, context.params.tuning
    if tuning is None:
        teacher_step.write_released(context.out, told.kind)
        return
    dataset = tuning.data.open()
    teacher_step.run(
        dataset,
        told.sam.spec,
        tuning.text.spec if tuning.text else "",
        tuning.config,
        kind=told.kind,
        labelled=masked_images(dataset, tuning.mask_share, tuning.seed).tolist(),
        seed=tuning.seed,
        embeddings=tuple(by_role(context.inputs, "embed.").values()),
        embed=tuning.encoding.config,
        validation=tuning.validation.open() if tuning.validation else None,
        out=context.out,
        work=context.work,
        device=context.device,
        report=context.report,
    )


def pseudomask(context: StageContext[PseudomaskParams]) -> None:
    """Pseudo-masks of one weak type on the images that have it."""
    pseudomasks([context])


def pseudomasks(contexts: Sequence[StageContext[PseudomaskParams]]) -> None:
    """Pseudo-masks of several stages in one pass; data set, SAM and settings are the first's."""
    first = contexts[0]
    told = first.params
    dataset = told.data.open()
    texts = [context.params.text.spec for context in contexts if context.params.text]

    def report(done: int, total: int, figures: dict[str, Any]) -> None:
        for context in contexts:
            context.report(done, total, figures)

    pseudomask_step.run(
        dataset,
        told.sam.spec,
        texts[0] if texts else "",
        told.config,
        [_job(context, dataset) for context in contexts],
        embeddings=tuple(by_role(first.inputs, "embed.").values()),
        embed=told.encoding.config,
        work=first.work,
        device=first.device,
        report=report,
    )


def _job(context: StageContext[PseudomaskParams], dataset: Dataset) -> Job:
    told = context.params
    return Job(
        annotation=told.annotation,
        images=_images_of(dataset, told.policy, told.seed or 0, told.annotation),
        out=context.out,
        teachers=by_role(context.inputs, "teacher."),
        detections=tuple(by_role(context.inputs, "detections.").values()),
        detect=told.select,
        refine=told.refine,
        noise=told.noise,
        seed=told.seed or 0,
        work=context.work,
    )


def quality(context: StageContext[QualityParams]) -> None:
    """How far pseudo-masks agree with the ground truth."""
    told = context.params
    dataset = told.data.open()
    quality_step.run(
        dataset,
        assign(dataset, told.policy, told.seed or 0),
        list(by_role(context.inputs, "pseudomask.").values()),
        out=context.out,
        report=context.report,
    )


def student(context: StageContext[StudentParams]) -> None:
    """A student, trained on real masks and pseudo-masks; one process of several if there are."""
    told = context.params
    dataset = told.data.open()
    student_step.run(
        dataset,
        assign(dataset, told.policy, told.seed),
        list(by_role(context.inputs, "pseudomask.").values()),
        told.config,
        backbone=told.backbone.spec if told.backbone else "",
        start=told.start.spec if told.start else NO_START,
        trunk=context.inputs.get("trunk"),
        validation=told.validation.open() if told.validation else None,
        seed=told.seed,
        out=context.out,
        work=context.work,
        device=context.device,
        report=context.report,
        world=_world(),
    )


def evaluate(context: StageContext[EvaluateParams]) -> None:
    """A student's AP on the validation split."""
    evaluate_step.run(
        context.params.data.open(),
        context.inputs["student"] / student_step.WEIGHTS,
        out=context.out,
        device=context.device,
        report=context.report,
    )


def evaluate_stopped(context: StageContext[SalvageParams]) -> None:
    """AP of a student that was stopped, from its last checkpoint.

    Raises:
        InputError: if it was stopped before its first.
    """
    told = context.params.student
    train = told.data.open()
    network = student_step.build_student(
        told.config,
        train.class_names,
        told.backbone.spec if told.backbone else "",
        told.seed,
        told.start.spec if told.start else NO_START,
    )
    identity = {**told.config.of_branch.identity(), "seed": told.seed, "data": train.fingerprint}
    left = context.scratch["student"]
    if student_step.restore_weights(left, identity, network) is None:
        raise InputError(left, "the student was stopped before its first checkpoint", "none")
    interface.save(context.work / student_step.WEIGHTS, network)
    evaluate_step.run(
        context.params.data.open(),
        context.work / student_step.WEIGHTS,
        out=context.out,
        device=context.device,
        report=context.report,
    )


def half_batch(stage: Stage) -> Params | None:
    """What a stage is told with half as much at once; None where there is no less.

    Nothing else changes, so results differ in their last bits only.
    """
    told, gpus = stage.params, stage.resources.gpus
    if isinstance(told, EmbedParams | DetectParams):
        return _halved(told, "batch_images", told.config.batch_images)
    if isinstance(told, StudentParams):
        share = told.config.schedule.batch_images // stage.resources.workers
        return _halved(told, "micro_batch_images", told.config.micro_batch_images or share)
    prompts = GPU_PROMPTS if gpus else 1  # decoded at once by themselves
    if isinstance(told, PseudomaskParams):
        return _halved(told, "decode_prompts", told.config.decode_prompts or prompts)
    if isinstance(told, TeacherParams) and told.tuning:
        asked = told.tuning.config.decode_prompts
        tuning = _halved(told.tuning, "decode_prompts", asked or prompts)
        return tuning and told.model_copy(update={"tuning": tuning})
    return None


def _halved(told: Any, setting: str, at_once: int) -> Any:
    if at_once < 2:
        return None
    return told.model_copy(
        update={"config": told.config.model_copy(update={setting: at_once // 2})}
    )


def _images_of(
    dataset: Dataset, policy: Policy, seed: int, annotation: AnnotationType
) -> list[int]:
    strengths = assign(dataset, policy, seed)
    return np.flatnonzero(strengths == annotation.strength).tolist()


def _world() -> World:
    """This process's place among those that train together."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return World()
    return World(distributed.get_rank(), distributed.get_world_size())


EMBED: Final = StageKind("embed", embed_step.VERSION, EmbedParams, embed, None, half_batch)
DETECT: Final = StageKind("detect", detect_step.VERSION, DetectParams, detect, None, half_batch)
TEACHER: Final = StageKind(
    "teacher", teacher_step.VERSION, TeacherParams, teacher, None, half_batch
)
PSEUDOMASK: Final = StageKind(
    "pseudomask", pseudomask_step.VERSION, PseudomaskParams, pseudomask, pseudomasks, half_batch
)
QUALITY: Final = StageKind("quality", quality_step.VERSION, QualityParams, quality)
STUDENT: Final = StageKind(
    "student", student_step.VERSION, StudentParams, student, None, half_batch
)
EVALUATE: Final = StageKind("evaluate", evaluate_step.VERSION, EvaluateParams, evaluate)
SALVAGE: Final = StageKind("salvage", evaluate_step.VERSION, SalvageParams, evaluate_stopped)
STAGE_KINDS: Final[Mapping[str, StageKind]] = {
    kind.name: kind
    for kind in (EMBED, DETECT, TEACHER, PSEUDOMASK, QUALITY, STUDENT, EVALUATE, SALVAGE)
}
