"""A cell's simulated labels, through a labelling tool and back, train the very student."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from given_sets import FORMS, like, write_export
from simulated_labels import simulate_labels

from omnicost.annotation import AnnotationType, Policy
from omnicost.data import open_dataset
from omnicost.data.imports.photos import Photos
from omnicost.data.imports.read import read_export
from omnicost.data.imports.write import write_set
from omnicost.data.splits import assign
from omnicost.data.tiny.disk import write_coco
from omnicost.data.tiny.world import SPECS
from omnicost.engine.execute import execute
from omnicost.engine.store import Store
from omnicost.pipeline.pseudomask import generate as pseudomask
from omnicost.project.model_folder import STUDENT
from omnicost.project.train import TrainRequest, prepare_training
from omnicost.sweep.cards.read_card import Changes
from omnicost.sweep.launch import Prepared, Request, prepare
from omnicost.sweep.sources import Sources
from omnicost.sweep.stages.cell_stages import CellPlan

POLICY = Policy.parse("mask=0.25,box=0.25,point=0.25,class=0.125,none=0.125")
FEW_STEPS = (
    "recipe.teacher.steps=2",
    "recipe.teacher.late_step=1",
    "recipe.teacher.points=32",
    "recipe.student.schedule.steps=2",
    "recipe.student.schedule.warmup_steps=0",
    "crossfit=false",
)


def completed(prepared: Prepared, store: Store) -> CellPlan:
    prepared.sources.require()
    for stage in prepared.graph.stages.values():
        execute(store, stage)
    return prepared.graph.plans[0]


def imported(truth: Path, form: str, out: Path) -> Path:
    """The cell's labels as a tool exports them, taken in as anybody's."""
    dataset = open_dataset(truth, "train")
    out.mkdir()
    export = write_export(out, simulate_labels(dataset, POLICY), form)
    photos = Photos(dataset.picture_folder)
    done = write_set(read_export(export), photos, out / "labelled", like(dataset))
    assert done.skipped == ()
    return out / "labelled"


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small set whose annotations bear the numbers that an import gives: tools keep none, and
    what is drawn at random for an instance is drawn by its number."""
    root = tmp_path_factory.mktemp("truth")
    write_coco(SPECS["tiny-coco"], root / "set", {"train": 16, "val": 4})
    path = root / "set" / "annotations" / "instances_train.json"
    content = json.loads(path.read_text())
    strengths = assign(open_dataset(root / "set", "train"), POLICY, 0)
    taken = json.loads(
        (imported(root / "set", "cvat", root / "first") / "instances.json").read_text()
    )
    numbers: dict[int, list[int]] = {}
    for each in taken["annotations"]:
        numbers.setdefault(each["image_id"], []).append(each["id"])
    for number, each in enumerate(content["annotations"]):
        has_instances = strengths[each["image_id"] - 1] >= AnnotationType.POINT.strength
        each["id"] = numbers[each["image_id"]].pop(0) if has_instances else 10**6 + number
    path.write_text(json.dumps(content))
    return root / "set"


@pytest.fixture(scope="module")
def simulated(truth: Path) -> tuple[CellPlan, Store]:
    card = {
        "base": "tiny",
        "name": "simulated",
        "datasets": [{"name": str(truth)}],
        "grid": {"mask_shares": [], "types": [], "policies": [POLICY.as_dict()]},
    }
    path = truth.parent / "simulated.yaml"
    path.write_text(yaml.safe_dump(card))
    store = Store(truth.parent / "simulated")
    return completed(prepare(Request(path, Changes(FEW_STEPS)), store.data), store), store


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_the_tools_change_nothing(
    truth: Path, simulated: tuple[CellPlan, Store], form: str, tmp_path: Path
) -> None:
    """Whatever tool the labels went through, the pseudo-masks are equal row for row and the
    students bit for bit, each computed from nothing."""
    labelled = imported(truth, form, tmp_path / form)
    store = Store(tmp_path / "store")
    request = TrainRequest(labelled, tmp_path / "model", "tiny", truth, FEW_STEPS)
    mine = completed(prepare_training(request, Sources(store.data)).prepared, store)
    theirs, other = simulated
    drawn = [
        {str(s.params.annotation): pseudomask.read(at.path(s.key)) for s in plan.stages
         if s.name == "pseudomask"}
        for plan, at in ((mine, store), (theirs, other))
    ]  # fmt: skip
    assert set(drawn[0]) == {"none", "class", "point", "box"}
    assert all(table.num_rows for kind, table in drawn[0].items() if kind != "none")
    for kind, table in drawn[0].items():
        assert table.equals(drawn[1][kind]), kind
    files = [at.path(plan.outputs["student"]) / STUDENT for plan, at in ((mine, store), simulated)]
    assert files[0].read_bytes() == files[1].read_bytes()
    images = np.array([len(open_dataset(labelled, "all")), len(open_dataset(truth, "train"))])
    assert images[0] == images[1]
