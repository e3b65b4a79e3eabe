"""How long stages wait for their data: counted, kept with the artefact, told where it is long."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from omnicost.engine import manifest as manifest_module
from omnicost.engine.execute import execute
from omnicost.engine.graph import Graph, Stage, StageKind
from omnicost.engine.params import Params
from omnicost.engine.store import Store
from omnicost.pipeline.compute import ahead, workers_of
from omnicost.progress import fed, waited_seconds
from omnicost.sweep.summary import troubled_stages


class SlowParams(Params):
    """How slow the data are."""

    seconds: float


def slowly(seconds: float) -> Iterator[int]:
    for number in range(3):
        time.sleep(seconds)
        yield number


def consume(context: Any) -> None:
    """Works 0.1 s on each of three pictures, which come as slowly as it is told."""
    for number in fed(slowly(context.params.seconds)):
        time.sleep(0.1)
        (context.out / f"{number}.txt").write_text("done")


SLOW = StageKind("slow", 1, SlowParams, consume)


def test_waiting_is_what_the_caller_waits() -> None:
    """Time in the loop's body does not count, time until the next item does."""
    before = waited_seconds()
    for _ in fed(slowly(0.05)):
        time.sleep(0.3)
    assert 0.15 <= waited_seconds() - before < 0.6


def test_what_threads_make_in_time_keeps_nobody_waiting() -> None:
    """With a thread that reads ahead only the first picture is waited for; without, all are."""

    def make(number: int) -> int:
        time.sleep(0.05)
        return number

    waits = []
    for workers in (0, 1):
        before = waited_seconds()
        found = []
        for number in ahead(make, range(5), workers):
            time.sleep(0.1)
            found.append(number)
        assert found == list(range(5))
        waits.append(waited_seconds() - before)
    assert waits[0] >= 0.25
    assert waits[1] < 0.6 * waits[0]


def test_workers_are_what_the_stage_has_threads_for() -> None:
    """One thread trains; the others read. What a card asks for comes first."""
    assert workers_of(5) == 5
    assert workers_of(0) == 0
    before = torch.get_num_threads()
    try:
        for threads, expected in ((1, 0), (4, 3)):
            torch.set_num_threads(threads)
            assert workers_of(None) == expected
    finally:
        torch.set_num_threads(before)


def test_a_stage_that_waited_long_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over a fifth of its time: in its log, in its manifest, and under the sweep's table."""
    monkeypatch.setattr(manifest_module, "SHORT_SECONDS", 0.0)
    store = Store(tmp_path)
    stages = [
        Stage(SLOW, SlowParams(seconds=seconds), label=f"slow {seconds}", units=3)
        for seconds in (0.2, 0.001)
    ]
    for stage in stages:
        execute(store, stage)
    hungry, fine = (store.manifest(stage.key) for stage in stages)
    assert hungry.waiting > 0.5
    assert fine.waiting < 0.2
    assert 2 < (hungry.images_per_second or 0) < 4
    lines = troubled_stages(Graph((), {stage.key: stage for stage in stages}), store)
    assert len(lines) == 1
    assert "slow 0.2 waited for data" in lines[0]
    assert "resources.slow.threads" in lines[0]
    assert lines[0] in store.log(stages[0].key).read_text()
    last = store.log(stages[1].key).read_text().splitlines()[-1]
    assert "images/s, waited for data" in last


def test_a_short_stage_is_left_in_peace(tmp_path: Path) -> None:
    """Starting up is most of a stage that takes seconds: nobody should raise a setting for that."""
    store, stage = Store(tmp_path), Stage(SLOW, SlowParams(seconds=0.2), units=3)
    execute(store, stage)
    assert store.manifest(stage.key).advice is None


def test_students_on_several_gpus_wait_for_them() -> None:
    """Ray Train gives a group of workers up after a minute unless it is told otherwise."""
    import omnicost.engine.ray

    assert omnicost.engine.ray.__doc__
    assert float(os.environ["RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S"]) >= 7 * 86_400
