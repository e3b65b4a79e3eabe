"""Deciding which of a card's students to train, from what a store holds: no stage is run."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from omnicost.annotation import Policy
from omnicost.engine.manifest import StageManifest
from omnicost.engine.store import Store
from omnicost.errors import ConfigError, InputError, MissingError
from omnicost.results import paper_rows
from omnicost.sweep import sources as sources_module
from omnicost.sweep.candidates import candidates
from omnicost.sweep.cards.card import Decide
from omnicost.sweep.cards.read_card import Changes, load_card
from omnicost.sweep.decider import Decider
from omnicost.sweep.launch import Prepared, Request, prepare
from omnicost.sweep.rows import read_metrics

TABLE = {row.policy: row.ap for row in paper_rows("coco")}
HOURS = 577.0  # of a student by the card's prior


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """An empty store, on a machine without COCO."""

    def nothing(name_or_path: str, **_: Any) -> None:
        raise MissingError(name_or_path, "not here", "get it")

    monkeypatch.setattr(sources_module, "open_dataset", nothing)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    return Store(tmp_path / "store")


def prepared(store: Store, **told: Any) -> Prepared:
    return prepare(Request("coco", Changes(decide=told)), store.data)


def decider_of(found: Prepared, store: Store) -> Decider:
    decider = found.decider(store)
    assert decider is not None
    return decider


def put(store: Store, key: str, files: dict[str, str], hours: float = 0.0) -> None:
    """An artefact as a stage would leave it."""
    folder = store.building(key)
    for name, text in files.items():
        (folder / name).write_text(text)
    told: dict[str, Any] = dict.fromkeys(StageManifest.model_fields)
    told |= {"key": key, "stage": "student", "version": 1, "label": "x", "params": {}, "files": {}}
    told |= {"inputs": {}, "scratch": {}, "salt": "", "wall_seconds": 3600 * hours, "workers": 1}
    told |= {"cpu_seconds": 0, "earlier_wall_seconds": 0, "earlier_cpu_seconds": 0, "threads": 1}
    told |= {"started": "", "host": "", "device": "cpu", "versions": {}, "waited_seconds": 0}
    told["half_batch"] = False
    store.publish(folder, StageManifest.model_validate(told))


def train(found: Prepared, store: Store, target: str, noise: float = 0.0) -> None:
    """Have a student and its scores in the store: what Table 2 says, less 10% for short ones."""
    plan = next(plan for plan in found.graph.plans if plan.target.id == target)
    bias = 1.0 if plan.target.shortened == 1 else 0.9
    ap = bias * TABLE[plan.target.policy] + noise * math.sin(len(target) + plan.target.seed)
    put(store, plan.outputs["student"], {}, hours=HOURS * plan.target.shortened)
    put(store, plan.outputs["evaluate"], {"metrics.json": json.dumps({"AP": ap})})


def left_of(found: Prepared, store: Store) -> list[str]:
    return [p.target.id for p in found.graph.plans if not store.has(p.outputs["evaluate"])]


def campaign(found: Prepared, store: Store, count: int = 1) -> list[str]:
    """Students as they were chosen, each time by a decider that knows the store alone."""
    trained: list[str] = []
    while chosen := decider_of(found, store).choose(left_of(found, store), (), count):
        for target in chosen:
            train(found, store, target, noise=0.3)
        trained += chosen
        assert len(trained) < 40
    return trained


def test_candidates_are_cells_repeats_and_shorter_schedules() -> None:
    """Repeats have further seeds, shorter schedules other steps; names differ, and keep apart."""
    card = load_card("coco")
    found = candidates(tuple(card.cells()), Decide(runs=2, shorter=(0.25,)))
    assert len({cell.id for cell in found}) == len(found) == 13 * 2 * 2
    assert {cell.seed for cell in found} == {0, 1}
    assert all(cell.shortened == 1 for cell in found[:26])
    short = next(cell for cell in found if cell.shortened < 1)
    assert short.schedule == "published x 0.25"
    steps = short.recipe["student"]["schedule"]
    assert steps == {"steps": 92188, "drop_at": [81944, 88773], "warmup_steps": 0}


def test_a_campaign_ends_early_and_tells_why(store: Store) -> None:
    """On the recorded table fewer students than cells are trained, none twice; the end is told."""
    found = prepared(store, spread=0.4, regret=0.3)
    trained = campaign(found, store)
    assert len(set(trained)) == len(trained) < 13
    decider = decider_of(found, store)
    assert decider.is_enough(left_of(found, store))
    decision = decider.decision()
    assert decision.why == "expected regret is under 0.3 AP"
    assert decision.regret["coco"] < 0.3
    assert decision.device_hours == pytest.approx(HOURS * len(trained))
    assert len(decision.cells) == 13
    for cell in decision.cells:
        assert (cell.ap is None) == (cell.runs == 0)
        assert cell.forecast.low < TABLE[cell.policy] + 1.5
        assert cell.forecast.high > TABLE[cell.policy] - 1.5
        assert cell.why.startswith("not run: expected regret" if cell.ap is None else "was in")


def test_a_batch_is_of_different_students(store: Store) -> None:
    """As many start as there are devices, and none that is under way."""
    found = prepared(store, spread=0.4)
    decider = decider_of(found, store)
    first = decider.choose(left_of(found, store), (), 3)
    assert len(set(first)) == 3
    left = [target for target in left_of(found, store) if target not in first]
    assert not set(first) & set(decider.choose(left, first, 2))


def test_what_was_begun_goes_on_first(store: Store) -> None:
    """A student that an interrupted sweep began is taken up before any other."""
    found = prepared(store)
    last = found.graph.plans[12]
    store.record(last.outputs["student"], "start")
    decider = decider_of(found, store)
    assert decider.choose(left_of(found, store), (), 2) == [last.target.id]


def test_device_hours_are_never_passed(store: Store) -> None:
    """No student starts that would take the sum over the limit, those under way included."""
    found = prepared(store, spread=2.0, device_hours=4.4 * HOURS)
    trained = campaign(found, store, count=3)
    assert 2 <= len(trained) <= 4
    decision = decider_of(found, store).decision()
    assert decision.device_hours <= 4.4 * HOURS
    left = left_of(found, store)
    again = decider_of(found, store)
    assert again.choose(left[2:], left[:2], 1) == []
    assert again.decision().why == "no student fits into 2538.8 device-hours"


def test_short_students_inform_and_are_not_the_full_ones(store: Store) -> None:
    """A short student moves its cell's forecast; the cell stays without a run."""
    found = prepared(store, spread=0.4, shorter=[0.25])
    before = decider_of(found, store).decision().cells
    for plan in found.graph.plans:
        if plan.target.shortened < 1 and plan.target.seed == 0:
            train(found, store, plan.target.id)
    after = decider_of(found, store).decision().cells
    assert all(cell.ap is None and cell.runs == 0 for cell in after)
    assert all(cell.why == "x 0.25: was in the store" for cell in after)
    widths = [np.mean([c.forecast.high - c.forecast.low for c in each]) for each in (before, after)]
    assert widths[1] < 0.5 * widths[0]


def test_scores_on_the_way_inform(store: Store) -> None:
    """What a student that goes on has scored narrows its cell's forecast, and counts as no run."""
    settings = ["recipe.student.score_at=[0.5]"]
    request = Request("coco", Changes(settings, decide={"spread": 0.4}))
    found = prepare(request, store.data)
    plain = prepared(store, spread=0.4)
    assert set(found.graph.stages) == set(plain.graph.stages)
    before = decider_of(found, store).decision().cells
    going, ended = found.graph.plans[3], found.graph.plans[8]
    left = store.work(going.outputs["student"])
    store.record(going.outputs["student"], "start")
    (left / "scores.json").write_text(json.dumps({"184375": 33.0}))
    put(store, ended.outputs["student"], {"scores.json": json.dumps({"184375": 35.0})})
    after = decider_of(found, store).decision().cells
    assert all(cell.ap is None and cell.runs == 0 for cell in after)
    for cell in (3, 8):
        widths = [c[cell].forecast.high - c[cell].forecast.low for c in (before, after)]
        assert widths[1] < 0.5 * widths[0]
    assert decider_of(plain, store).decision().cells[3].forecast == before[3].forecast
    assert decider_of(found, store).expected(simulations=2).students[0] > 0


def test_a_dry_run_prices_no_stage_that_is_there(store: Store) -> None:
    """Shared stages in the store are paid, though no student of theirs is."""
    found = prepared(store, spread=0.4, regret=0.3)
    before = decider_of(found, store).expected(simulations=2)
    for stage in found.graph.shared:
        put(store, stage.key, {})
    after = decider_of(found, store).expected(simulations=2)
    assert after.students == before.students
    assert after.hours[0] < before.hours[0]


def test_a_budget_that_buys_little_asks_for_little(store: Store) -> None:
    """With budgets that pay for no box, boxes and masks are not trained first."""
    found = prepared(store, spread=0.4, budgets="50h,100h")
    trained = campaign(found, store)
    policies = [
        next(p for p in found.graph.plans if p.target.id == t).target.policy for t in trained
    ]
    assert Policy.parse("mask=1") not in policies
    with pytest.raises(ConfigError, match="'5x' is no"):
        prepared(store, budgets="5x")


def test_a_dry_run_says_what_deciding_takes(store: Store) -> None:
    """Median and 90% of simulated campaigns: under all 13, over two."""
    found = prepared(store, spread=0.4, regret=0.3)
    expected = decider_of(found, store).expected(simulations=10)
    assert 2 * HOURS < expected.hours[0] <= expected.hours[1]
    assert expected.students[0] < 13
    assert len(found.whole.plans) == 13


def test_a_damaged_score_is_one_line(store: Store) -> None:
    """Scores that are not what their stage wrote are refused by name."""
    found = prepared(store)
    target = found.graph.plans[0]
    train(found, store, target.target.id)
    (store.path(target.outputs["evaluate"]) / "metrics.json").write_text("{}")
    with pytest.raises(InputError, match="not what its stage wrote"):
        read_metrics(store, target.outputs["evaluate"])
    with pytest.raises(InputError, match="not what its stage wrote"):
        decider_of(found, store).decision()
