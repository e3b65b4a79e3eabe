"""What each stage of the real pipeline does on a worker: open what it reads, call its step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from omnicost.annotation import AnnotationType, Policy
from omnicost.data import Dataset, open_dataset
from omnicost.data.splits import assign
from omnicost.engine.execute import StageContext
from omnicost.engine.graph import by_role
from omnicost.errors import InputError
from omnicost.pipeline.pseudomask.job import Job
from omnicost.pipeline.recipe import Recipe
from omnicost.pipeline.teacher.kinds import TeacherKind

if TYPE_CHECKING:
    from omnicost.pipeline.student.data import World


def embed(context: StageContext) -> None:
    """SAM's image embeddings of the training split."""
    from omnicost.pipeline import embed as step

    recipe = _recipe(context)
    step.run(
        _dataset(context, "train"),
        recipe.models.sam,
        recipe.embed,
        out=context.out,
        work=context.work,
        device=context.device,
        report=context.report,
    )


def detect(context: StageContext) -> None:
    """GroundingDINO's proposals on the training split."""
    from omnicost.pipeline import detect as step

    recipe = _recipe(context)
    step.run(
        _dataset(context, "train"),
        recipe.models.detector,
        recipe.detect,
        mode=context.params["mode"],
        annotation=AnnotationType(context.settings["annotation"]),
        noise=recipe.noise,
        seed=context.settings["seed"],
        out=context.out,
        work=context.work,
        device=context.device,
        report=context.report,
    )


def teacher(context: StageContext) -> None:
    """One kind of teacher, tuned on the images with masks."""
    from omnicost.pipeline.teacher import train as step

    recipe = _recipe(context)
    dataset = _dataset(context, "train")
    released = context.params.get("released", False)
    step.run(
        dataset,
        recipe.models.sam,
        recipe.models.text,
        recipe.teacher,
        kind=TeacherKind.parse(context.params["kind"]),
        labelled=[] if released else _masked_images(context, dataset),
        seed=context.params.get("seed", 0),
        embeddings=context.inputs.get("embed"),
        embed=recipe.embed,
        validation=None if released else _dataset(context, "val"),
        out=context.out,
        work=context.work,
        device=context.device,
        report=context.report,
    )


def pseudomask(context: StageContext) -> None:
    """Pseudo-masks of one weak type on the images that have it."""
    pseudomasks([context])


def pseudomasks(contexts: Sequence[StageContext]) -> None:
    """Pseudo-masks of several stages in one pass; models and data set are those of the first."""
    from omnicost.pipeline.pseudomask import generate as step

    first = contexts[0]
    recipe = _recipe(first)
    dataset = _dataset(first, "train")

    def report(done: int, total: int, figures: dict[str, Any]) -> None:
        for context in contexts:
            context.report(done, total, figures)

    step.run(
        dataset,
        recipe.models.sam,
        recipe.models.text,
        recipe.pseudomask,
        [_job(context, dataset) for context in contexts],
        embeddings=first.inputs.get("embed"),
        embed=recipe.embed,
        work=first.work,
        device=first.device,
        report=report,
    )


def _job(context: StageContext, dataset: Dataset) -> Job:
    recipe = _recipe(context)
    kind = AnnotationType(context.params["annotation"])
    policy = Policy.of(context.params["policy"])
    seed = context.settings["seed"]
    return Job(
        annotation=kind,
        images=_images_of(dataset, policy, seed, kind),
        out=context.out,
        teachers=by_role(context.inputs, "teacher."),
        detections=context.inputs.get("detections"),
        detect=recipe.detect,
        refine=recipe.refine,
        noise=recipe.noise,
        seed=seed,
        work=context.work,
    )


def quality(context: StageContext) -> None:
    """How far pseudo-masks agree with the ground truth."""
    from omnicost.pipeline import mask_quality as step

    dataset = _dataset(context, "train")
    policy = Policy.of(context.params["policy"])
    step.run(
        dataset,
        assign(dataset, policy, context.settings["seed"]),
        list(by_role(context.inputs, "pseudomask.").values()),
        out=context.out,
        report=context.report,
    )


def student(context: StageContext) -> None:
    """A student, trained on real masks and pseudo-masks; one process of several if there are."""
    from omnicost.pipeline.student import train as step

    recipe = _recipe(context)
    dataset = _dataset(context, "train")
    seed = context.params["seed"]
    step.run(
        dataset,
        assign(dataset, Policy.of(context.params["policy"]), seed),
        list(by_role(context.inputs, "pseudomask.").values()),
        recipe.student,
        backbone=recipe.models.backbone,
        start=recipe.models.student,
        seed=seed,
        out=context.out,
        work=context.work,
        device=context.device,
        report=context.report,
        world=_world(),
    )


def evaluate(context: StageContext) -> None:
    """A student's AP on the validation split."""
    from omnicost.pipeline import evaluate as step
    from omnicost.pipeline.student.train import WEIGHTS

    step.run(
        _dataset(context, "val"),
        context.inputs["student"] / WEIGHTS,
        out=context.out,
        device=context.device,
        report=context.report,
    )


def evaluate_stopped(context: StageContext) -> None:
    """AP of a student that was stopped, from its last checkpoint.

    Raises:
        InputError: if it was stopped before its first.
    """
    import torch

    from omnicost.models.students import student as interface
    from omnicost.pipeline import evaluate as step
    from omnicost.pipeline.student import checkpoint as student_checkpoint
    from omnicost.pipeline.student.train import WEIGHTS, build_optimizer, build_student

    recipe = _recipe(context)
    config, seed = recipe.student, context.params["seed"]
    train = _dataset(context, "train")
    models = recipe.models
    student = build_student(config, train.class_names, models.backbone, seed, models.student)
    identity = {**config.identity(), "seed": seed, "data": train.fingerprint}
    scaler = torch.amp.GradScaler(enabled=False)
    work = context.work.parent / context.params["student"]
    steps = student_checkpoint.restore(
        work, identity, student, build_optimizer(student, config.optimizer), scaler
    )
    if not steps:
        raise InputError(work, "the student was stopped before its first checkpoint", "none")
    interface.save(context.work / WEIGHTS, student)
    step.run(
        _dataset(context, "val"),
        context.work / WEIGHTS,
        out=context.out,
        device=context.device,
        report=context.report,
    )


def _recipe(context: StageContext) -> Recipe:
    return Recipe.model_validate(context.settings["recipe"])


def _dataset(context: StageContext, role: str) -> Dataset:
    return open_dataset(**context.settings[role])


def _masked_images(context: StageContext, dataset: Dataset) -> list[int]:
    share = context.params["mask_share"]
    # The masks of a share are the same whatever labels the rest.
    policy = Policy.cell(AnnotationType.NONE, share)
    return _images_of(dataset, policy, context.params["seed"], AnnotationType.MASK)


def _images_of(dataset: Dataset, policy: Policy, seed: int, kind: AnnotationType) -> list[int]:
    strengths = assign(dataset, policy, seed)
    return np.flatnonzero(strengths == kind.strength).tolist()


def _world() -> World:
    """This process's place among those that train together."""
    import torch.distributed as distributed

    from omnicost.pipeline.student.data import World

    if not (distributed.is_available() and distributed.is_initialized()):
        return World()
    return World(distributed.get_rank(), distributed.get_world_size())
