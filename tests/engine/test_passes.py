"""Stages in one pass: which share it, what each keeps of its own, what happens when it breaks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from engine_toys import LabelParams, Toys, toy_planner

from omnicost.engine.execute import execute
from omnicost.engine.graph import Stage, build_graph
from omnicost.engine.passes import execute_pass, passes_of
from omnicost.engine.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def labels_of(store: Store, **recipe: Any) -> list[Stage]:
    """The four label stages of the toys, which make one pass; what they read is there."""
    toys = Toys(recipe={"steps": 2, "passes": True, **recipe})
    graph = build_graph(toys.targets(), toy_planner(toys))
    for stage in graph.stages.values():
        if stage.name in ("data", "teacher"):
            execute(store, stage)
    return [stage for stage in graph.stages.values() if stage.name == "label"]


def events(store: Store, stage: Stage) -> list[str]:
    return [execution.event for execution in store.executions(stage.key)]


def digests(store: Store, stage: Stage) -> dict[str, str]:
    files = store.manifest(stage.key).files
    return {name: file.sha256 for name, file in files.items()}


def test_each_stage_of_a_pass_keeps_its_own(store: Store, tmp_path: Path) -> None:
    """Artefact as made alone, and a record, log and manifest each; the pass is computed once."""
    labels = labels_of(store, step_seconds=0.05)
    assert passes_of(labels) == (tuple(labels),)
    assert execute_pass(store, labels) == tuple(stage.key for stage in labels)
    alone = Store(tmp_path / "alone")
    for stage in labels_of(alone):
        execute(alone, stage)
    for stage in labels:
        assert store.faults(stage.key) == ()
        assert digests(store, stage) == digests(alone, stage)
        assert events(store, stage) == ["start", "done"]
        log = store.log(stage.key).read_text()
        assert f"{stage.label} on" in log
        assert log.count("4 together") == 4
    assert not list(store.locks.held())
    assert not list((store.root / "building").iterdir())


def test_time_of_a_pass_is_shared_out_by_units(store: Store) -> None:
    """Seconds of the stages add up to the pass, each with its share of the images."""
    four = labels_of(store, step_seconds=0.1)
    units = (10.0, 20.0, 30.0, 40.0)
    labels = [replace(stage, units=n) for stage, n in zip(four, units, strict=True)]
    execute_pass(store, labels)
    seconds = [store.manifest(stage.key).wall_seconds for stage in labels]
    assert 0.4 < sum(seconds) < 4
    for wall, share in zip(seconds, units, strict=True):
        assert wall / sum(seconds) == pytest.approx(share / 100, rel=0.2)


def test_done_leased_and_unready_stages_are_left_out(store: Store) -> None:
    """A pass takes what can start at once and nobody else computes, and waits for nothing."""
    one, two, three, four = labels_of(store)
    execute(store, one)
    store.delete(next(key for role, key in two.inputs.items() if role == "teacher"))
    lease = store.locks.try_acquire(three.key)
    assert lease is not None
    with lease:
        assert execute_pass(store, [one, two, three, four]) == ()  # one stage makes no pass
        assert not store.has(four.key)
        five = replace(four, params=LabelParams(type="class"))
        assert execute_pass(store, [one, two, three, four, five]) == (four.key, five.key)
    assert events(store, one) == ["start", "done"]
    assert (events(store, two), events(store, three)) == ([], [])


def test_broken_pass_publishes_nothing_and_stages_run_alone(store: Store) -> None:
    """What a pass that raised had written is gone; each stage can still be computed alone."""
    labels = labels_of(store, pass_breaks=True)
    assert execute_pass(store, labels) == ()
    for stage in labels:
        assert not store.has(stage.key)
        assert events(store, stage) == ["start", "failed"]
        assert "ValueError: this pass always breaks" in store.log(stage.key).read_text()
    assert not list((store.root / "building").iterdir())
    assert not list(store.locks.held())
    for stage in labels:
        assert not execute(store, stage).reused


def test_a_pass_that_starves_has_its_stages_run_alone(store: Store) -> None:
    """Want of memory is on record as such; stages that go on with half a batch join no pass."""

    def starving(contexts: Any) -> None:
        raise MemoryError("too many masks")

    def halved(stage: Stage) -> LabelParams:
        return LabelParams(type="half")

    labels = [
        replace(
            stage,
            kind=replace(stage.kind, pass_function=starving, half_batch=halved),
            resources=stage.resources.model_copy(update={"halve_batch": True}),
        )
        for stage in labels_of(store)
    ]
    for _ in range(2):
        assert execute_pass(store, labels) == ()
        for stage in labels:
            assert events(store, stage) == ["start", "exhausted"]


def test_publishing_that_fails_takes_no_other_stage_along(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stage that cannot be published has failed; the others of its pass are there."""
    labels = labels_of(store)
    publish = Store.publish

    def broken(self: Store, building: Path, manifest: Any) -> bool:
        if manifest.key == labels[1].key:
            raise OSError("disk full")
        return publish(self, building, manifest)

    monkeypatch.setattr(Store, "publish", broken)
    assert execute_pass(store, labels) == tuple(s.key for s in labels if s is not labels[1])
    assert events(store, labels[1]) == ["start", "failed"]
    assert "disk full" in store.log(labels[1].key).read_text()
    assert not list((store.root / "building").iterdir())


def test_leases_are_given_up_on_a_full_disk(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even the record of a failure can be written: the stages are free again all the same."""
    labels = labels_of(store, pass_breaks=True)
    record = Store.record

    def full(self: Store, key: str, event: str, *seconds: float) -> None:
        if event == "failed":
            raise OSError("disk full")
        record(self, key, event, *seconds)

    monkeypatch.setattr(Store, "record", full)
    with pytest.raises(OSError, match="disk full"):
        execute_pass(store, labels)
    assert not list(store.locks.held())
    assert not list(store.locks.folder.glob("*.beat"))
