"""Small real stages for the engine's tests: deterministic work on files, resumable, countable."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from omnicost.engine.execute import StageContext
from omnicost.engine.graph import Planner, Stage, StageBook, StageKind, TargetPlan
from omnicost.engine.params import Params, StoppedParams, runtime_field
from omnicost.engine.resources import Resources, SchedulerSpec
from omnicost.engine.store import Store


class DataParams(Params):
    seed: int


class TeacherParams(Params):
    share: float
    steps: int
    raises: bool = False
    step_seconds: float = runtime_field(0.0)


class LabelParams(Params):
    type: str
    pass_breaks: bool = runtime_field(False)
    step_seconds: float = runtime_field(0.0)


class StudentParams(Params):
    steps: int
    fate: str = ""
    gain: float = 1.0
    step_seconds: float = runtime_field(0.0)


class ScoreParams(Params):
    pass


def make_data(context: StageContext[DataParams]) -> None:
    generator = np.random.default_rng(context.params.seed)
    np.save(context.out / "x.npy", generator.normal(size=(256, 4)))


def fit_teacher(context: StageContext[TeacherParams]) -> None:
    if context.params.raises:
        raise ValueError("this teacher always raises")
    x = np.load(context.inputs["data"] / "x.npy")
    _iterate(context, x[: max(1, int(len(x) * context.params.share))], "weights.npy")


def label_data(context: StageContext[LabelParams]) -> None:
    label_together([context])


def label_together(contexts: Sequence[StageContext[LabelParams]]) -> None:
    """Label for several teachers; a pass that is to break does so after its first labels."""
    for context in contexts:
        print(f"labels of {context.params.type}, {len(contexts)} together")
        time.sleep(context.params.step_seconds)
        _label(context)
        if len(contexts) > 1 and context.params.pass_breaks:
            raise ValueError("this pass always breaks")


def _label(context: StageContext[LabelParams]) -> None:
    x = np.load(context.inputs["data"] / "x.npy")
    weights = np.load(context.inputs["teacher"] / "weights.npy")
    np.save(context.out / "labels.npy", np.sign(x @ weights) * len(context.params.type))
    (context.out / "nested").mkdir()
    (context.out / "nested" / "note.txt").write_text("labelled")


def fit_student(context: StageContext[StudentParams]) -> None:
    if context.params.fate == "raises":
        raise OSError(28, "No space left on device")
    if context.params.fate == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    x = np.load(context.inputs["data"] / "x.npy")
    if "labels" in context.inputs:
        x = x + np.load(context.inputs["labels"] / "labels.npy")[:, None]
    _iterate(context, x, "student.npy")


def climb(context: StageContext[StudentParams]) -> None:
    """A student whose figure rises by its gain at every step; its scratch has the last."""
    told = context.params
    for done in range(1, told.steps + 1):
        time.sleep(told.step_seconds)
        (context.work / "reached").write_text(str(told.gain * done))
        context.report(done, told.steps, {"ap": told.gain * done})
    np.save(context.out / "student.npy", np.array([told.gain * told.steps]))


def add_ranks(context: StageContext[StudentParams]) -> None:
    """A student that several processes train: each step adds up their ranks, counted from 1."""
    import torch
    import torch.distributed as dist

    total = torch.zeros(1, dtype=torch.float64)
    for done in range(1, context.params.steps + 1):
        part = torch.full((1,), dist.get_rank() + 1, dtype=torch.float64)
        dist.all_reduce(part)
        total += part
        context.report(done, context.params.steps, {"ap": float(total)})
    np.save(context.out / "student.npy", total.numpy())


def score_student(context: StageContext[ScoreParams]) -> None:
    student = np.load(context.inputs["student"] / "student.npy")
    (context.out / "metrics.json").write_text(json.dumps({"ap": float(np.abs(student).sum())}))


def score_stopped(context: StageContext[StoppedParams]) -> None:
    """What the stopped student's scratch says that it reached."""
    reached = float((context.scratch["student"] / "reached").read_text())
    (context.out / "metrics.json").write_text(json.dumps({"ap": reached}))


DATA = StageKind("data", 1, DataParams, make_data)
TEACHER = StageKind("teacher", 1, TeacherParams, fit_teacher)
LABEL = StageKind("label", 1, LabelParams, label_data, label_together)
STUDENT = StageKind("student", 1, StudentParams, fit_student)
COMPARE = StageKind("student", 1, StudentParams, climb)
TOGETHER = StageKind("student", 1, StudentParams, add_ranks)
SALVAGE = StageKind("salvage", 1, StoppedParams, score_stopped)
SCORE = StageKind("score", 1, ScoreParams, score_student)


def _iterate(context: StageContext[Any], x: np.ndarray, name: str) -> None:
    """Power iteration with a checkpoint a step, so that a resumed run gives the same bits."""
    checkpoint = context.work / "checkpoint.npz"
    step, vector = 0, np.ones(x.shape[1])
    if checkpoint.exists():
        saved = np.load(checkpoint)
        step, vector = int(saved["step"]), saved["vector"]
    gram = x.T @ x
    steps = context.params.steps
    for done in range(step + 1, steps + 1):
        vector = gram @ vector
        vector /= np.linalg.norm(vector)
        time.sleep(context.params.step_seconds)
        beside = context.work / "beside.npz"
        np.savez(beside, step=done, vector=vector)
        os.replace(beside, checkpoint)
        context.report(done, steps, {"ap": float(np.abs(vector).sum())})
    np.save(context.out / name, vector)


@dataclass(frozen=True)
class Toy:
    """A target: a share of the data with masks, a type for the rest."""

    share: float
    type: str
    seed: int
    variant: str
    recipe: Mapping[str, Any]

    @property
    def group(self) -> str:
        if self.share == 1:
            return f"toys/mask=1/seed={self.seed}"
        mixed = f"mask={self.share:g}," if self.share else ""
        return f"toys/{mixed}{self.type}={1 - self.share:g}/seed={self.seed}"

    @property
    def id(self) -> str:
        return f"{self.group}/{self.variant}" if self.variant else self.group


@dataclass(frozen=True)
class Toys:
    """A grid of toys, and what their stages are given."""

    shares: Sequence[float] = (0.0, 0.1, 1.0)
    types: Sequence[str] = ("none", "box")
    seeds: Sequence[int] = (0,)
    variants: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: {"": {}})
    recipe: Mapping[str, Any] = field(default_factory=lambda: {"steps": 4})
    resources: Mapping[str, Resources] = field(
        default_factory=lambda: {"default": Resources(cpus=1, retries=2)}
    )
    scheduler: SchedulerSpec | None = None

    def targets(self) -> list[Toy]:
        return [
            Toy(share, kind, seed, variant, {**self.recipe, **changes})
            for seed in self.seeds
            for variant, changes in self.variants.items()
            for share in self.shares
            for kind in (self.types if share < 1 else self.types[:1])
        ]


def toy_planner(toys: Toys) -> Planner[Toy]:
    """`Planner` of the toy pipeline."""
    return lambda toy, salt: plan_toy(toy, toys.resources, salt)


def plan_toy(toy: Toy, resources: Mapping[str, Resources], salt: str) -> TargetPlan[Toy]:
    book = StageBook(resources, salt)
    recipe, steps = toy.recipe, toy.recipe["steps"]
    pace = recipe.get("step_seconds", 0.0)
    data = book.add(DATA, DataParams(seed=toy.seed), label="data")
    inputs = {"data": data}
    if toy.share < 1:
        raises = toy.type == recipe.get("broken")
        teacher = book.add(
            TEACHER,
            TeacherParams(share=toy.share, steps=steps, raises=raises, step_seconds=pace),
            inputs={"data": data},
            label=f"teacher {toy.id}",
        )
        breaks = recipe.get("pass_breaks", False)
        inputs["labels"] = book.add(
            LABEL,
            LabelParams(type=toy.type, pass_breaks=breaks, step_seconds=pace),
            inputs={"data": data, "teacher": teacher},
            label=f"label {toy.id}",
            pass_group="labels" if recipe.get("passes") else "",
        )
    kind = COMPARE if recipe.get("compare") else STUDENT
    kind = TOGETHER if recipe.get("distributed") else kind
    fate = recipe.get("fates", {}).get(toy.type, "") if toy.share == 0 else ""
    params = StudentParams(steps=steps, fate=fate, gain=recipe.get("gain", 1.0), step_seconds=pace)
    student = book.add(kind, params, inputs=inputs, label=f"student {toy.id}")
    score = book.add(SCORE, ScoreParams(), inputs={"student": student}, label=f"score {toy.id}")
    salvage = Stage(SALVAGE, StoppedParams(), scratch={"student": student.key})
    return TargetPlan(toy, book.stages, (student.key, score.key), {"score": score.key}, salvage)


def rows_of(store_root: Path, plans: Sequence[TargetPlan[Any]]) -> dict[str, float]:
    """The result of each target, read from the store."""
    store = Store(store_root, create=False)
    return {plan.target.id: score_at(store, plan.outputs["score"]) for plan in plans}


def score_at(store: Store, key: str) -> float:
    """The figure of an artefact that scores a student."""
    return json.loads((store.path(key) / "metrics.json").read_text())["ap"]
