"""Masks where they gain most, and students that trust pseudo-masks less: through the store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
import yaml
from given_sets import write_given
from hypothesis import given, settings
from hypothesis import strategies as st

from omnicost.annotation import AnnotationType, Policy
from omnicost.data import open_dataset
from omnicost.data.exports.merged import PseudoMasks
from omnicost.data.splits import ASSIGNMENT, assign
from omnicost.data.tiny.disk import write_coco
from omnicost.data.tiny.world import SPECS
from omnicost.engine.execute import execute
from omnicost.engine.store import Store
from omnicost.errors import ConfigError
from omnicost.models.students.criterion import generalised
from omnicost.pipeline import assignment
from omnicost.pipeline.pseudomask import generate as pseudomask
from omnicost.pipeline.quality import calibration
from omnicost.pipeline.quality.crossfit import FOLDS, fold_of
from omnicost.sweep.launch import Prepared, Request, prepare
from omnicost.sweep.lookup import find_cell
from omnicost.sweep.rows import row_of
from omnicost.sweep.stages.cell_stages import CellPlan

SHORT = {
    "teacher": {"steps": 2, "late_step": 1, "points": 32},
    "student": {"schedule": {"steps": 2, "warmup_steps": 0}},
}
VARIANTS = {
    "plain": {},
    "value": {"assignment": "value"},
    "recalibrated": {"student.pseudo_weight": "recalibrated"},
    "robust": {"student.pseudo_exponent": 0.7},
}


class World(NamedTuple):
    """A finished card: four recipes of one policy on a small set."""

    prepared: Prepared
    store: Store
    plans: dict[str, CellPlan]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    root = tmp_path_factory.mktemp("noisy")
    write_coco(SPECS["tiny-coco"], root / "set", {"train": 20, "val": 4})
    card = {
        "base": "tiny",
        "name": "noisy",
        "datasets": [{"name": str(root / "set")}],
        "grid": {"mask_shares": [0.4], "types": ["point"]},
        "crossfit": True,
        "recipe": SHORT,
        "variants": VARIANTS,
    }
    (root / "noisy.yaml").write_text(yaml.safe_dump(card))
    prepared = prepare(Request(root / "noisy.yaml"), root / "cache")
    prepared.sources.require()
    store = Store(root / "store")
    for stage in prepared.graph.stages.values():
        execute(store, stage)
    return World(prepared, store, {p.target.variant: p for p in prepared.graph.plans})


def test_value_spends_the_seconds_of_a_draw(world: World) -> None:
    """Masks chosen by value are other images, and cost no more than the seeded draw's."""
    plan = world.plans["value"]
    folder = world.store.path(plan.outputs["assignment"])
    told = json.loads((folder / ASSIGNMENT).read_text())
    dataset = world.prepared.sources.dataset(plan.target.dataset, "train")
    assert dataset is not None
    masked = set(told["masked"])
    assert told["seconds"] <= told["seconds_of_a_draw"]
    dearest = assignment.extra_seconds(dataset, AnnotationType.POINT).max()
    assert told["seconds"] > told["seconds_of_a_draw"] - dearest
    drawn = assign(dataset, plan.target.policy, 0) == AnnotationType.MASK.strength
    assert masked != set(dataset.image_ids[drawn].tolist())
    row = row_of(plan, world.store, world.prepared.sources)
    assert row.masks == len(masked)
    for key in (s.key for s in plan.stages if s.name == "pseudomask" and not s.params.fold):
        told_of = world.store.manifest(key)
        if told_of.inputs.get("assignment") and told_of.params.get("fold") is None:
            rows = pseudomask.read(world.store.path(key))
            assert not masked & set(rows["image_id"].to_pylist())
    cell = find_cell(world.store, f"{plan.target.id}")
    assert cell.chosen == folder


def test_every_choice_is_another_student(world: World) -> None:
    """Each of the settings reaches the loss: no two students are the same."""
    found = {
        name: world.store.manifest(plan.outputs["student"]).files["student.safetensors"].sha256
        for name, plan in world.plans.items()
    }
    assert len(set(found.values())) == len(VARIANTS)


def test_no_mask_judges_a_teacher_that_saw_it(world: World) -> None:
    """Each part of the masked images is drawn by teachers tuned on the others, all once."""
    plan = world.plans["plain"]
    dataset = world.prepared.sources.dataset(plan.target.dataset, "train")
    assert dataset is not None
    masked = np.flatnonzero(
        assign(dataset, plan.target.policy, 0) == AnnotationType.MASK.strength
    ).tolist()
    parts = [fold_of(masked, fold, 0) for fold in range(FOLDS)]
    assert sorted([*parts[0], *parts[1]]) == masked
    told = calibration.read_figures(world.store.path(plan.outputs["calibration.point"]))
    assert told["images"] == len(masked)
    assert told["miou"]["low"] <= told["miou"]["value"] <= told["miou"]["high"]
    judged = [s for s in plan.stages if s.name == "pseudomask" and s.params.fold is not None]
    for stage in judged:
        rows = pseudomask.read(world.store.path(stage.key))
        wanted = set(dataset.image_ids[parts[stage.params.fold]].tolist())
        assert set(rows["image_id"].to_pylist()) <= wanted
        for role, key in stage.inputs.items():
            if role.startswith("teacher."):
                tuning = world.store.manifest(key).params["tuning"]
                assert tuning["fold"] == stage.params.fold


def test_value_needs_one_weak_type(world: World, tmp_path: Path) -> None:
    """A mixture of weak types and given labels are refused in one line."""
    card = {
        "base": "tiny",
        "name": "mixed",
        "datasets": [world.prepared.card.datasets[0].name],
        "grid": {
            "mask_shares": [],
            "types": [],
            "policies": [{"mask": 0.5, "box": 0.3, "point": 0.2}],
        },
        "recipe": {"assignment": "value"},
    }
    path = tmp_path / "mixed.yaml"
    path.write_text(yaml.safe_dump(card))
    with pytest.raises(ConfigError, match="one weak type"):
        prepare(Request(path), tmp_path / "cache")
    dataset = open_dataset(world.prepared.card.datasets[0].name, "train")
    labelled = write_given(tmp_path / "given", dataset, Policy.parse("mask=0.5,box=0.5"))
    policies = [{"mask": 0.5, "box": 0.5}]
    card |= {"datasets": [{"name": str(labelled), "train": "all", "val": "all"}]}
    card["grid"] = {"mask_shares": [], "types": [], "policies": policies}
    path.write_text(yaml.safe_dump(card))
    with pytest.raises(ConfigError, match="masks everywhere"):
        prepare(Request(path), tmp_path / "cache")


def test_doubt_a_second_is_the_order(world: World) -> None:
    """A picture rated low comes before one rated high; a label without a mask counts fully."""
    dataset = open_dataset(world.prepared.card.datasets[0].name, "train").take(np.arange(4))
    counts = [len(dataset.instances(index).rles) for index in range(4)]
    rows = [
        (index, 0.9 if index == 1 else 0.5) for index in (1, 2, 3) for _ in range(counts[index])
    ]
    pseudo = PseudoMasks(
        dataset.image_ids[[index for index, _ in rows]],
        np.arange(len(rows)),
        np.zeros(len(rows), np.int64),
        np.array([score for _, score in rows]),
        ["point"] * len(rows),
        [b""] * len(rows),
    )
    order = assignment.by_gain_per_second(dataset, AnnotationType.POINT, pseudo, seed=0).tolist()
    assert order[0] == 0  # nothing was drawn for its labels
    assert order[-1] == 1


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=20, max_size=80))
def test_a_calibration_never_falls(pairs: list[tuple[float, float]]) -> None:
    """Whatever the pairs, a higher score is worth no less, an IoU stays one, the mean is kept."""
    scores, ious = np.array(pairs).T
    found = calibration.fit(scores, ious)
    worth = found(np.linspace(0, 1, 50))
    assert (np.diff(worth) >= -1e-6).all()
    assert worth.min() >= 0
    assert worth.max() <= 1
    assert np.all(np.diff(found.scores) >= 0)


def test_equal_scores_are_worth_their_mean() -> None:
    """Half of the masks that score 0.9 are right: 0.9 is worth a half, in whatever order."""
    scores = np.repeat([0.4, 0.9], 20)
    ious = np.array([0.1] * 20 + [0.0, 1.0] * 10)
    for order in (np.arange(40), np.arange(40)[::-1], np.argsort(ious, kind="stable")):
        found = calibration.fit(scores[order], ious[order])
        np.testing.assert_allclose(found(np.array([0.4, 0.9])), [0.1, 0.5], atol=1e-6)


def test_few_pairs_change_no_rating() -> None:
    """With fewer than twenty the score is believed as it is; with many their IoU is."""
    scores = np.linspace(0.5, 1, 19)
    assert calibration.fit(scores, scores / 2) == calibration.AS_RATED
    found = calibration.fit(np.linspace(0.5, 1, 200), np.linspace(0.25, 0.5, 200))
    np.testing.assert_allclose(found(np.array([0.6, 0.9])), [0.3, 0.45], atol=0.01)


def test_the_generalised_cross_entropy() -> None:
    """It is (1 - p^q) / q, the plain one where q is 0, and its pull ends where p does."""
    p = torch.tensor([0.9, 0.5, 0.01], requires_grad=True)
    plain = -p.log()
    found = generalised(plain, torch.tensor([0.7, 0.7, 0.7]))
    torch.testing.assert_close(found, (1 - p**0.7) / 0.7)
    torch.testing.assert_close(generalised(plain, torch.zeros(3)), plain)
    (gradient,) = torch.autograd.grad(found.sum(), p)
    torch.testing.assert_close(gradient, -(p**-0.3))  # 4 at 0.01, where the plain one pulls by 100
    limit = generalised(plain, torch.full((3,), 1e-4))
    torch.testing.assert_close(limit, plain, rtol=1e-3, atol=1e-3)
