"""The stages of the paper's pipeline: what their functions do on a worker.

A function reads its `Params` and the artefacts of its inputs, and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import torch.distributed as distributed

from omnicost.data import Dataset
from omnicost.data.splits import assign, chosen_images, masked_images
from omnicost.engine.execute import StageContext
from omnicost.engine.graph import Stage, StageKind, by_role
from omnicost.engine.params import Params
from omnicost.errors import InputError
from omnicost.models.students import student as interface
from omnicost.models.teachers.teacher import GPU_PROMPTS
from omnicost.pipeline import assignment as assign_step
from omnicost.pipeline import detect as detect_step
from omnicost.pipeline import embed as embed_step
from omnicost.pipeline import evaluate as evaluate_step
from omnicost.pipeline.config import NO_START
from omnicost.pipeline.pseudomask import generate as pseudomask_step
from omnicost.pipeline.pseudomask.rows import Job
from omnicost.pipeline.quality import crossfit as calibrate_step
from omnicost.pipeline.quality import mask_quality as quality_step
from omnicost.pipeline.student import train as student_step
from omnicost.pipeline.student.data import World
from omnicost.pipeline.teacher import train as teacher_step
from omnicost.sweep.stages.stage_params import (
    AssignParams,
    CalibrateParams,
    DetectParams,
    EmbedParams,
    EvaluateParams,
    PseudomaskParams,
    QualityParams,
    SalvageParams,
    StudentParams,
    TeacherParams,
)

_CHOSEN: Final = "assignment"  # role of what chose the images with masks


def embed(context: StageContext[EmbedParams]) -> None:
    """SAM's image embeddings of a portion of the training split."""
    told = context.params
    embed_step.run(
        told.data.open(), told.sam.spec, told.config, portion=told.portion, **_given(context)
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
        **_given(context),
    )


def teacher(context: StageContext[TeacherParams]) -> None:
    """One kind of teacher, tuned on the images with masks."""
    told, tuning = context.params, context.params.tuning
    if tuning is None:
        teacher_step.write_released(context.out, told.kind)
        return
    dataset = tuning.data.open()
    labelled = _masked(context, dataset, tuning.mask_share, tuning.seed)
    if tuning.fold is not None:
        kept = calibrate_step.fold_of(labelled, tuning.fold, tuning.seed)
        labelled = sorted(set(labelled) - set(kept))
    teacher_step.run(
        dataset,
        told.sam.spec,
        tuning.text.spec if tuning.text else "",
        tuning.config,
        kind=told.kind,
        labelled=labelled,
        seed=tuning.seed,
        embeddings=tuple(by_role(context.inputs, "embed.").values()),
        embed=tuning.encoding.config,
        validation=tuning.validation.open() if tuning.validation else None,
        **_given(context),
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
        images=_images_of(context, dataset),
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
        assign(dataset, told.policy, told.seed or 0, context.inputs.get(_CHOSEN)),
        list(by_role(context.inputs, "pseudomask.").values()),
        out=context.out,
        report=context.report,
    )


def assignment(context: StageContext[AssignParams]) -> None:
    """Which images get masks, by the released teacher's pseudo-masks on all."""
    told = context.params
    masks = context.inputs["pseudomask"]
    assign_step.run(told.data.open(), told.policy, told.seed, masks, out=context.out)


def calibrate(context: StageContext[CalibrateParams]) -> None:
    """How good pseudo-masks of a weak type are on the images with masks."""
    told = context.params
    dataset = told.data.open()
    calibrate_step.run(
        dataset,
        told.annotation,
        _masked(context, dataset, told.policy.mask_share, told.seed),
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
        assign(dataset, told.policy, told.seed, context.inputs.get(_CHOSEN)),
        list(by_role(context.inputs, "pseudomask.").values()),
        told.config,
        backbone=told.backbone.spec if told.backbone else "",
        start=told.start.spec if told.start else NO_START,
        trunk=context.inputs.get("trunk"),
        validation=told.validation.open() if told.validation else None,
        seed=told.seed,
        **_given(context),
        world=_world(),
        calibrations=by_role(context.inputs, "calibration."),
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
    identity = student_step.identity_of(told.config.of_branch, told.seed, train)
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


def _given(context: StageContext[Any]) -> dict[str, Any]:
    """What every step takes from the engine."""
    return {
        "out": context.out,
        "work": context.work,
        "device": context.device,
        "report": context.report,
    }


def _masked(context: StageContext[Any], dataset: Dataset, share: float, seed: int) -> list[int]:
    """Indices of the images with masks, ascending."""
    chosen = context.inputs.get(_CHOSEN)
    if chosen is not None:
        return chosen_images(dataset, chosen).tolist()
    return masked_images(dataset, share, seed).tolist()


def _images_of(context: StageContext[PseudomaskParams], dataset: Dataset) -> list[int]:
    told, seed = context.params, context.params.seed or 0
    if told.fold is not None:
        masked = _masked(context, dataset, told.policy.mask_share, seed)
        return calibrate_step.fold_of(masked, told.fold, seed)
    strengths = assign(dataset, told.policy, seed, context.inputs.get(_CHOSEN))
    return np.flatnonzero(strengths == told.annotation.strength).tolist()


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
ASSIGN: Final = StageKind("assign", assign_step.VERSION, AssignParams, assignment)
CALIBRATE: Final = StageKind("calibrate", calibrate_step.VERSION, CalibrateParams, calibrate)
STUDENT: Final = StageKind(
    "student", student_step.VERSION, StudentParams, student, None, half_batch
)
EVALUATE: Final = StageKind("evaluate", evaluate_step.VERSION, EvaluateParams, evaluate)
SALVAGE: Final = StageKind("salvage", evaluate_step.VERSION, SalvageParams, evaluate_stopped)
_KINDS: Final = (
    EMBED, DETECT, TEACHER, PSEUDOMASK, QUALITY, ASSIGN, CALIBRATE, STUDENT, EVALUATE, SALVAGE,
)  # fmt: skip
STAGE_KINDS: Final[Mapping[str, StageKind]] = {kind.name: kind for kind in _KINDS}
