"""Small real stages for the sweep's tests: deterministic work on files, resumable, countable."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from omnicost.engine.execute import StageContext
from omnicost.engine.graph import CellPlan, Stage, StageBook, StageKind
from omnicost.sweep.card import Card, Cell, Resources

DATA = StageKind("data", 1, "sweep_toys:make_data")
TEACHER = StageKind("teacher", 1, "sweep_toys:fit_teacher")
LABEL = StageKind("label", 1, "sweep_toys:label_data", "sweep_toys:label_together")
STUDENT = StageKind("student", 1, "sweep_toys:fit_student")
COMPARE = StageKind("student", 1, "sweep_toys:climb")
TOGETHER = StageKind("student", 1, "sweep_toys:add_ranks")
SALVAGE = StageKind("salvage", 1, "sweep_toys:score_stopped")
SCORE = StageKind("score", 1, "sweep_toys:score_student")


def make_data(context: StageContext) -> None:
    generator = np.random.default_rng(context.params["seed"])
    np.save(context.out / "x.npy", generator.normal(size=(256, 4)))


def fit_teacher(context: StageContext) -> None:
    if context.params.get("raises"):
        raise ValueError("this teacher always raises")
    x = np.load(context.inputs["data"] / "x.npy")
    _iterate(context, x[: max(1, int(len(x) * context.params["share"]))], "weights.npy")


def label_data(context: StageContext) -> None:
    label_together([context])


def label_together(contexts: Sequence[StageContext]) -> None:
    """Label for several teachers; a pass that is to break does so after its first labels."""
    for context in contexts:
        print(f"labels of {context.params['type']}, {len(contexts)} together")
        time.sleep(float(context.settings.get("step_seconds", 0.0)))
        _label(context)
        if len(contexts) > 1 and context.settings.get("pass_breaks"):
            raise ValueError("this pass always breaks")


def _label(context: StageContext) -> None:
    x = np.load(context.inputs["data"] / "x.npy")
    weights = np.load(context.inputs["teacher"] / "weights.npy")
    np.save(context.out / "labels.npy", np.sign(x @ weights) * len(context.params["type"]))
    (context.out / "nested").mkdir()
    (context.out / "nested" / "note.txt").write_text("labelled")


def fit_student(context: StageContext) -> None:
    x = np.load(context.inputs["data"] / "x.npy")
    if "labels" in context.inputs:
        x = x + np.load(context.inputs["labels"] / "labels.npy")[:, None]
    _iterate(context, x, "student.npy")


def climb(context: StageContext) -> None:
    """A student whose figure rises by its gain at every step."""
    steps = context.params["steps"]
    for done in range(1, steps + 1):
        time.sleep(float(context.settings.get("step_seconds", 0.0)))
        context.report(done, steps, {"ap": context.params["gain"] * done})
    np.save(context.out / "student.npy", np.array([context.params["gain"] * steps]))


def add_ranks(context: StageContext) -> None:
    """A student that several processes train: each step adds up their ranks, counted from 1."""
    import torch
    import torch.distributed as dist

    total = torch.zeros(1, dtype=torch.float64)
    for done in range(1, context.params["steps"] + 1):
        part = torch.full((1,), dist.get_rank() + 1, dtype=torch.float64)
        dist.all_reduce(part)
        total += part
        context.report(done, context.params["steps"], {"ap": float(total)})
    np.save(context.out / "student.npy", total.numpy())


def score_student(context: StageContext) -> None:
    student = np.load(context.inputs["student"] / "student.npy")
    (context.out / "metrics.json").write_text(json.dumps({"ap": float(np.abs(student).sum())}))


def score_stopped(context: StageContext) -> None:
    (context.out / "metrics.json").write_text(json.dumps({"ap": 0.0}))


def _iterate(context: StageContext, x: np.ndarray, name: str) -> None:
    """Power iteration with a checkpoint a step, so that a resumed run gives the same bits."""
    checkpoint = context.work / "checkpoint.npz"
    step, vector = 0, np.ones(x.shape[1])
    if checkpoint.exists():
        saved = np.load(checkpoint)
        step, vector = int(saved["step"]), saved["vector"]
    gram = x.T @ x
    steps = context.params["steps"]
    for done in range(step + 1, steps + 1):
        vector = gram @ vector
        vector /= np.linalg.norm(vector)
        time.sleep(float(context.settings.get("step_seconds", 0.0)))
        beside = context.work / "beside.npz"
        np.savez(beside, step=done, vector=vector)
        os.replace(beside, checkpoint)
        context.report(done, steps, {"ap": float(np.abs(vector).sum())})
    np.save(context.out / name, vector)


def toy_card(**changes: Any) -> Card:
    content: dict[str, Any] = {
        "name": "toy",
        "datasets": ["toys"],
        "grid": {"mask_shares": [0.0, 0.1, 1.0], "types": ["none", "box"]},
        "recipe": {"steps": 4, "step_seconds": 0.0},
        "resources": {"default": {"cpus": 1, "retries": 2}},
    }
    return Card.model_validate({**content, **changes})


def toy_planner(card: Card) -> Any:
    """`Planner` of the toy pipeline for the cells of a card."""

    def plan(cell: Cell, salt: str) -> CellPlan:
        return plan_toy_cell(cell, card.resources, salt)

    return plan


def plan_toy_cell(cell: Cell, resources: Mapping[str, Resources], salt: str) -> CellPlan:
    book = StageBook(resources, salt)
    recipe = cell.recipe
    settings = {"step_seconds": recipe.get("step_seconds", 0.0)}
    data = book.add(DATA, {"seed": cell.seed}, label="data")
    inputs = {"data": data}
    if cell.policy.mask_share < 1:
        params = {"share": cell.policy.mask_share, "steps": recipe["steps"]}
        if cell.weak_type == recipe.get("broken"):
            params["raises"] = True
        teacher = book.add(
            TEACHER, params, inputs={"data": data}, settings=settings, label=f"teacher {cell.id}"
        )
        inputs["labels"] = book.add(
            LABEL,
            {"type": cell.weak_type},
            inputs={"data": data, "teacher": teacher},
            settings={**settings, "pass_breaks": recipe.get("pass_breaks", False)},
            label=f"label {cell.id}",
            pass_group="labels" if recipe.get("passes") else "",
        )
    kind, params = STUDENT, {"steps": recipe["steps"]}
    if recipe.get("compare"):
        kind, params = COMPARE, {**params, "gain": recipe["gain"]}
    elif recipe.get("distributed"):
        kind = TOGETHER
    student = book.add(
        kind,
        params,
        inputs=inputs,
        settings=settings,
        label=f"student {cell.id}",
    )
    score = book.add(SCORE, {}, inputs={"student": student}, label=f"score {cell.id}")
    salvage = Stage(SALVAGE, {"student": student.key})
    return CellPlan(cell, book.stages, (student.key, score.key), {"score": score.key}, salvage)


def rows_of(store_root: Path, plans: Any) -> dict[str, float]:
    """The result of each cell, read from the store."""
    from omnicost.engine.store import Store

    store = Store(store_root, create=False)
    return {
        plan.cell.id: json.loads((store.path(plan.outputs["score"]) / "metrics.json").read_text())[
            "ap"
        ]
        for plan in plans
    }
