"""What a stage is told when it is tried again with half its batch."""

from __future__ import annotations

from typing import Any

import pytest

from omnicost.annotation import AnnotationType, Policy
from omnicost.data.weak import PERFECT
from omnicost.engine.graph import Stage, StageKind
from omnicost.engine.params import Params
from omnicost.engine.resources import Resources
from omnicost.pipeline.config import EmbedConfig, ProposalConfig, PseudomaskConfig, TeacherConfig
from omnicost.pipeline.student.config import StudentConfig
from omnicost.pipeline.teacher.kinds import TeacherKind
from omnicost.sweep.sources import SplitSource, WeightsSource
from omnicost.sweep.stages.stage_functions import (
    DETECT,
    EMBED,
    EVALUATE,
    PSEUDOMASK,
    STUDENT,
    TEACHER,
)
from omnicost.sweep.stages.stage_params import (
    DetectParams,
    EmbedParams,
    Encoding,
    EvaluateParams,
    PseudomaskParams,
    StudentParams,
    TeacherParams,
    Tuning,
)

DATA, WEIGHTS = SplitSource(fingerprint="d"), WeightsSource(fingerprint="w")
ENCODING = Encoding(config=EmbedConfig())


def embedding(images: int) -> Params:
    return EmbedParams(data=DATA, sam=WEIGHTS, config=EmbedConfig(batch_images=images))


def detection(images: int) -> Params:
    config = ProposalConfig(batch_images=images)
    return DetectParams(data=DATA, detector=WEIGHTS, config=config, mode="all")


def student(images: int | None) -> Params:
    config = StudentConfig.model_validate({"preset": "tiny", "micro_batch_images": images})
    policy = Policy.of({"mask": 1.0})
    return StudentParams(
        data=DATA, backbone=WEIGHTS, start=None, config=config, policy=policy, seed=0
    )


def drawing(prompts: int | None) -> Params:
    return PseudomaskParams(
        data=DATA, sam=WEIGHTS, text=None, encoding=ENCODING, noise=PERFECT, seed=None,
        config=PseudomaskConfig(decode_prompts=prompts), annotation=AnnotationType.BOX,
        policy=Policy.of({"box": 1.0}),
    )  # fmt: skip


def teacher(prompts: int | None) -> Params:
    tuning = Tuning(
        data=DATA, text=None, config=TeacherConfig(decode_prompts=prompts), encoding=ENCODING,
        mask_share=0.1, seed=0,
    )  # fmt: skip
    return TeacherParams(kind=TeacherKind("box", False), sam=WEIGHTS, tuning=tuning)


GPU, TWO = Resources(gpus=1), Resources(workers=2)
CPU = Resources()


@pytest.mark.parametrize(
    ("kind", "make", "at_once", "resources", "half"),
    [
        (EMBED, embedding, 8, CPU, 4),
        (EMBED, embedding, 1, CPU, None),
        (DETECT, detection, 3, CPU, 1),
        (STUDENT, student, 6, CPU, 3),
        (STUDENT, student, None, TWO, 2),  # a device's share of the tiny batch of 8, halved
        (PSEUDOMASK, drawing, 10, CPU, 5),
        (PSEUDOMASK, drawing, None, GPU, 32),
        (PSEUDOMASK, drawing, None, CPU, None),  # a CPU decodes as few as fit its cache
        (TEACHER, teacher, 4, CPU, 2),
        (TEACHER, teacher, None, GPU, 32),
    ],
)
def test_half_of_what_is_at_once(
    kind: StageKind[Any], make: Any, at_once: int | None, resources: Resources, half: int | None
) -> None:
    """Half as much, nothing else changed; None where there is no less."""
    stage = Stage(kind, make(at_once), resources=resources)
    assert kind.half_batch(stage) == (None if half is None else make(half))


def test_what_has_no_batch_has_no_half() -> None:
    """Scores are bounded by pixels."""
    assert EVALUATE.half_batch(Stage(EVALUATE, EvaluateParams(data=DATA))) is None
    released = TeacherParams(kind=TeacherKind("box", False), sam=WEIGHTS)
    assert TEACHER.half_batch(Stage(TEACHER, released)) is None
