"""The real pipeline through the store, on random small models and a handful of pictures."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from typer.testing import CliRunner

from omnicost.annotation import AnnotationType
from omnicost.cli import app
from omnicost.data import open_dataset
from omnicost.data.splits import assign
from omnicost.engine.execute import execute
from omnicost.engine.ray.runner import RayOptions
from omnicost.engine.store import Store
from omnicost.errors import InputError
from omnicost.results import TornLineWarning, comparable, read_rows
from omnicost.sweep.cards.read_card import Changes
from omnicost.sweep.launch import Prepared, Request, prepare, sweep_card
from omnicost.sweep.lookup import find_masks
from omnicost.sweep.rows import RESULT_FIELDS, record_row, row_of, same_results
from omnicost.sweep.stages.cell_stages import CellPlan

pytest.importorskip("torch")
from student_world import make_backbone, tiny_values
from teacher_world import detector_folder, text_folder, tiny_sam, write_dataset


class World(NamedTuple):
    """A card on a small data set, and two stores that were filled from nothing."""

    card: Path
    stores: tuple[Store, Store]
    prepared: Prepared


def repeated(prepared: Prepared) -> list[CellPlan]:
    """The cells of the second store: one with every kind of stage, and the fully supervised one."""
    wanted = ("mask=0.5,point=0.5", "mask=1")
    return [plan for plan in prepared.graph.plans if str(plan.target.policy) in wanted]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    root = tmp_path_factory.mktemp("world")
    tiny_sam().save_pretrained(root / "sam")
    write_dataset(root / "data", images=8)
    models = {
        "sam": str(root / "sam"),
        "detector": detector_folder(root / "detector"),
        "text": text_folder(root / "text"),
        "backbone": make_backbone(root / "backbone"),
    }
    card = {
        "name": "small",
        "datasets": [{"name": str(root / "data"), "train": "all", "val": "all"}],
        "grid": {"mask_shares": [0, 0.5, 1], "types": ["none", "class", "point", "box"]},
        "recipe": {
            "models": models,
            "detect": {"keep_above": 0.0, "threshold": 0.0},
            "refine": {"tau_c": 0.0},
            "teacher": {"steps": 2, "batch_images": 2, "points": 32, "late_step": 1},
            "student": tiny_values(steps=2, batch_images=2),
        },
    }
    (root / "card.yaml").write_text(yaml.safe_dump(card))
    stores = (Store(root / "one"), Store(root / "two"))
    prepared = prepare(Request(root / "card.yaml"), root / "cache")
    prepared.sources.require()
    for stage in prepared.graph.stages.values():
        execute(stores[0], stage)
    for plan in repeated(prepared):
        for stage in plan.stages:
            execute(stores[1], stage)
    return World(root / "card.yaml", stores, prepared)


def test_every_stage_of_the_pipeline_runs(world: World) -> None:
    """Nine cells end in metrics of a student; the teacher's masks are scored for eight."""
    store = world.stores[0]
    assert len(world.prepared.graph.plans) == 9
    for key in world.prepared.graph.stages:
        assert store.faults(key) == ()
        assert store.manifest(key).units is not None


def test_two_cold_runs_are_equal_bit_for_bit(world: World) -> None:
    """Weights, pseudo-masks and rows of two empty stores agree in every byte and figure."""
    one, two = world.stores
    for key in two.keys():  # noqa: SIM118
        manifests = [store.manifest(key) for store in (one, two)]
        digests = [
            {name: file.sha256 for name, file in manifest.files.items() if "log" not in name}
            for manifest in manifests
        ]
        assert digests[0] == digests[1], manifests[0].label
    for plan in repeated(world.prepared):
        rows = [row_of(plan, s, world.prepared.sources).model_dump(mode="json") for s in (one, two)]
        assert same_results(*rows)
        assert rows[0]["wall_seconds"] != rows[1]["wall_seconds"]


def test_rows_tell_what_was_done(world: World) -> None:
    """A row holds the cell, its price, the pseudo-masks' F1, mIoU where labels have instances."""
    store, sources = world.stores[0], world.prepared.sources
    rows = {str(p.target.policy): row_of(p, store, sources) for p in world.prepared.graph.plans}
    half = rows["mask=0.5,box=0.5"]
    assert (half.images, half.masks) == (8, 4)
    assert half.teacher_miou is not None
    assert rows["none=1"].teacher_miou is None
    assert (rows["none=1"].teacher_f1 is None, rows["mask=1"].teacher_f1) == (False, None)
    assert rows["none=1"].seconds_per_image == 0
    assert rows["mask=1"].seconds_per_image > half.seconds_per_image
    assert len({row.config_hash for row in rows.values()}) == 1
    assert set(RESULT_FIELDS) > {"ap", "policy", "seed", "config_hash"}


def test_filled_store_gives_rows_without_ray(world: World, tmp_path: Path) -> None:
    """Running a finished card writes its rows once, however often it runs."""
    prepared = world.prepared
    for _ in range(2):
        finished = sweep_card(prepared, world.stores[0], tmp_path / "results", RayOptions())
        assert not finished.end.computed
    rows = read_rows(tmp_path / "results" / "small.jsonl")
    assert rows == list(finished.rows)
    assert len(rows) == 9


def test_a_decided_sweep_takes_what_is_there(world: World, tmp_path: Path) -> None:
    """Where the store has all cells, deciding trains none: rows, forecasts and reasons for nine."""
    told = {"regret": 50.0, "spread": 1.0, "runs": 2}
    request = Request(world.card, Changes(decide=told))
    prepared = prepare(request, world.card.parent / "cache")
    assert len(prepared.graph.plans) == 18
    assert len(prepared.whole.plans) == 9
    finished = sweep_card(prepared, world.stores[0], tmp_path / "results", RayOptions())
    assert not finished.end.computed
    assert len(finished.rows) == 9
    assert finished.decision is not None
    assert {cell.why for cell in finished.decision.cells} == {"was in the store"}
    assert finished.decision.why == "expected regret is under 50 AP"


def test_students_from_a_trunk_say_so(world: World, tmp_path: Path) -> None:
    """Their rows name the trunk, and no front takes them together with students of their own."""
    trunk = "recipe.student.trunk={cell: none, share: 0.5}"
    request = Request(world.card, Changes(settings=[trunk]), ["mask=1"])
    prepared = prepare(request, world.card.parent / "cache")
    for stage in prepared.graph.stages.values():
        execute(world.stores[0], stage)
    finished = sweep_card(prepared, world.stores[0], tmp_path / "results", RayOptions())
    (row,) = finished.rows
    assert row.trunk == "0.5 on none=1"
    own = row_of(world.prepared.graph.plans[0], world.stores[0], world.prepared.sources)
    assert own.trunk is None
    with pytest.raises(InputError, match=r"mixes trunk 0\.5 on none=1, None"):
        comparable([row, own])


def test_stale_row_is_replaced(world: World, tmp_path: Path) -> None:
    """A cell measured anew takes the place of its older row; other rows stay."""
    plans = world.prepared.graph.plans[:2]
    path = tmp_path / "rows.jsonl"
    rows = [row_of(plan, world.stores[0], world.prepared.sources) for plan in plans]
    for row in rows:
        record_row(path, row)
    newer = rows[0].model_copy(update={"ap": 99.0})
    record_row(path, newer)
    assert read_rows(path) == [rows[1], newer]


def test_torn_or_foreign_results_are_met_before_anything_is_computed(
    world: World, tmp_path: Path
) -> None:
    """A file with nothing but a torn row takes rows; one that holds something else is refused."""
    results = tmp_path / "results"
    results.mkdir()
    path = results / "small.jsonl"
    path.write_text('{"dataset": "small", "pol')
    with pytest.warns(TornLineWarning):
        finished = sweep_card(world.prepared, world.stores[0], results, RayOptions())
    with pytest.warns(TornLineWarning):
        rows = read_rows(path)
    assert rows == list(finished.rows)
    path.write_text("notes of mine\n")
    empty = Store(tmp_path / "empty")
    with pytest.raises(InputError, match=r"small\.jsonl:1: is not a line of JSON"):
        sweep_card(world.prepared, empty, results, RayOptions())
    assert path.read_text() == "notes of mine\n"
    assert list((empty.root / "executions").iterdir()) == []


def test_edited_figures_make_no_row(world: World, tmp_path: Path) -> None:
    """A metrics.json that somebody wrote AP 99 into is refused, not believed."""
    store = Store(shutil.copytree(world.stores[1].root, tmp_path / "store"), create=False)
    plan = repeated(world.prepared)[1]
    row_of(plan, store, world.prepared.sources)
    path = store.path(plan.outputs["evaluate"]) / "metrics.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"AP": 99.0}))
    with pytest.raises(InputError, match="is not what its stage wrote"):
        row_of(plan, store, world.prepared.sources)


def test_card_of_teachers_writes_teacher_rows(world: World, tmp_path: Path) -> None:
    """A card that measures teachers needs no student, and has a table of its own."""
    changes = Changes(settings=["measure=teacher", "grid.types=[point, box]"])
    request = Request(world.card, changes, ["mask=0.5"])
    prepared = prepare(request, world.card.parent / "cache")
    assert "student" not in {stage.name for stage in prepared.graph.stages.values()}
    finished = sweep_card(prepared, world.stores[0], tmp_path, RayOptions())
    assert [row.annotation for row in finished.teacher_rows] == ["point", "box"]
    lines = (tmp_path / "small.teacher.jsonl").read_text().splitlines()
    assert [json.loads(line)["miou"] for line in lines] == [r.miou for r in finished.teacher_rows]


def test_stopped_student_is_scored_from_its_checkpoint(world: World, tmp_path: Path) -> None:
    """What a stopped student left gives a row that is marked truncated."""
    changes = Changes(settings=["recipe.student.checkpoint_every=1", "recipe.student.log_every=1"])
    prepared = prepare(Request(world.card, changes, ["mask=1"]), world.card.parent / "cache")
    (plan,) = prepared.graph.plans
    store = Store(tmp_path / "store")
    student = prepared.graph.stages[plan.trial[0]]

    def stop(done: int, total: int, figures: dict) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        execute(store, student, observe=stop)
    assert plan.salvage is not None
    stopped = plan.salvage.params.model_copy(update={"step": 1})
    salvage = replace(plan.salvage, params=stopped)
    execute(store, salvage)
    row = row_of(plan, store, prepared.sources, salvage.key)
    assert row.truncated
    assert row.policy.mask_share == 1
    with pytest.raises(InputError, match="stopped early: its student is not in the store"):
        find_masks(store, row.source)


def test_a_cell_is_exported_as_its_student_saw_it(world: World, tmp_path: Path) -> None:
    """By its name or its row's source: real masks of its split, pseudo-masks of its own stages."""
    plan = next(
        p for p in world.prepared.graph.plans if str(p.target.policy) == "mask=0.5,point=0.5"
    )
    store = world.stores[0]
    source = row_of(plan, store, world.prepared.sources).source
    data = world.card.parent / "data"
    common = ("export", str(data), "--split", "all", "--store", str(store.root))
    told = []
    for cell in (plan.target.id, source):
        out = tmp_path / "merged.json"
        done = CliRunner().invoke(app, [*common, "--cell", cell, "--out", str(out), "--json"])
        assert done.exit_code == 0, done.output
        told.append((json.loads(done.stdout)["instances"], out.read_bytes()))
    assert told[0] == told[1]
    content = json.loads(told[0][1])
    places = {image["id"]: place for place, image in enumerate(content["images"])}
    found = {(places[a["image_id"]], a["source"] == "human") for a in content["annotations"]}
    strengths = assign(open_dataset(data, "all"), plan.target.policy, 0)
    assert all((strengths[place] == AnnotationType.MASK.strength) == real for place, real in found)
    assert told[0][0]["human"]
    assert told[0][0]["point"]
    unknown = CliRunner().invoke(app, [*common, "--cell", "no/such/cell", "--out", str(out)])
    assert plan.target.id in str(unknown.exception)


def test_masks_of_a_cell_are_found_with_their_history(world: World) -> None:
    """A tuned cell's masks come with the released teacher's and the boxes that prompted them."""
    store = world.stores[0]
    cells = {str(plan.target.policy): plan.target.id for plan in world.prepared.graph.plans}
    tuned = find_masks(store, cells["mask=0.5,point=0.5"])
    released = find_masks(store, cells["point=1"])
    assert tuned.before == released.after
    assert released.before is None
    assert tuned.detections == released.detections
    unprompted = find_masks(store, cells["mask=0.5,none=0.5"])
    assert unprompted.before == find_masks(store, cells["none=1"]).after
    assert find_masks(store, cells["mask=0.5,box=0.5"]).detections == ()
    whole = next(p for p in world.prepared.graph.plans if str(p.target.policy) == "mask=1")
    with pytest.raises(InputError, match="no pseudo-masks"):  # others trained one of that name
        find_masks(store, row_of(whole, store, world.prepared.sources).source)
