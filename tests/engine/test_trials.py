"""Trials: what of them Tune pickles, and what happens when Tune itself falls over."""

from __future__ import annotations

import os
import pickle
import threading
from pathlib import Path
from typing import Any

import pytest
from engine_toys import DataParams, Toys, toy_planner

from omnicost.engine.execute import (
    OutOfMemory,
    StageContext,
    StageFailure,
    StageRefusal,
    failure_for,
)
from omnicost.engine.graph import Stage, StageKind, build_graph
from omnicost.engine.resources import Resources, SchedulerSpec
from omnicost.engine.store import Store
from omnicost.errors import InputError

pytest.importorskip("ray")
from omnicost.engine.ray import distributed, tasks, trials
from omnicost.engine.ray.target_states import DONE, FAILED, RUNNING, WAITING, Board
from omnicost.engine.ray.trials import GroupedScheduler, TargetSearcher, conduct_trials


def board_with(on_change: Any) -> Board:
    toys = Toys()
    return Board(build_graph(toys.targets(), toy_planner(toys)).plans, {}, on_change)


def test_what_watches_does_not_travel_into_tunes_pickle() -> None:
    """The progress display, which has locks, hangs on the board; Tune pickles neither."""
    lock = threading.RLock()
    board = board_with(lambda plan, state: lock)
    scheduler = GroupedScheduler(SchedulerSpec(name="asha"), board.groups)
    assert pickle.loads(pickle.dumps(scheduler))._groups == board.groups
    pickle.dumps(TargetSearcher(board))
    assert len(set(board.groups.values())) == len(board.plans)


def test_cells_that_wait_go_on_after_tune_fell_over_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What ran then has failed, with the cause; the others get a Tune of their own."""
    board = board_with(lambda plan, state: None)
    names: list[int] = []

    class Tune:
        def fit(self) -> None:
            waiting = board.in_state(WAITING)
            names.append(len(waiting))
            board.change(waiting[0], RUNNING)
            if len(names) == 1:
                raise RuntimeError("no more memory\nand a traceback")
            for target in waiting:
                board.change(target, DONE)

    monkeypatch.setattr(trials, "_tuner", lambda *_: Tune())
    conduct_trials(board, Store(tmp_path / "store"), tmp_path, None)
    first, *others = board.plans
    assert board.states[first] == FAILED
    assert board.causes[first] == "Ray Tune failed: no more memory"
    assert [board.states[target] for target in others] == [DONE] * 4
    assert names == [5, 4]


def test_tune_that_starts_nothing_ends_the_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where not even one cell starts, all fail instead of being tried for ever."""
    board = board_with(lambda plan, state: None)

    class Tune:
        def fit(self) -> None:
            raise RuntimeError("refused")

    monkeypatch.setattr(trials, "_tuner", lambda *_: Tune())
    conduct_trials(board, Store(tmp_path / "store"), tmp_path, None)
    assert set(board.states.values()) == {FAILED}


def test_processes_of_gpu_tasks_end_with_them() -> None:
    """Their CUDA context would keep memory of a GPU that is another's by then."""
    kind = StageKind("toy", 1, DataParams, print)
    for gpus, calls in ((0.5, 1), (0.0, 0)):
        stage = Stage(kind, DataParams(seed=0), resources=Resources(gpus=gpus))
        task = tasks._task(tasks.stage_task, "toy", stage)
        assert (task._default_options.get("max_calls") or 0) == calls


def told_by_workers(folder: Path, lost: tuple[int, ...] = (), **errors: Exception) -> Any:
    """What becomes of workers' errors, the first named raised first; `lost` ranks said nothing."""
    for time, (name, error) in enumerate(errors.items(), 1):
        path = folder / f"failed.{name.removeprefix('rank')}"
        path.write_text(f"{failure_for(error).__name__}\nTraceback\n{error}\n")
        os.utime(path, (time, time))
    raised = RuntimeError("of Ray Train")
    raised.worker_failures = dict.fromkeys(lost)  # type: ignore[attr-defined]
    stage = Stage(StageKind("toy", 1, DataParams, print), DataParams(seed=0), label="toy")
    return distributed._own_failure(stage, folder, raised)


def test_workers_errors_are_what_one_process_raises(tmp_path: Path) -> None:
    """Refusals are final, want of memory and lost workers starved; the first to raise counts."""
    refusal = InputError("x", "is empty", "fill it")
    assert isinstance(told_by_workers(tmp_path, rank0=refusal), StageRefusal)
    assert isinstance(told_by_workers(tmp_path, rank0=MemoryError("none")), OutOfMemory)
    first = told_by_workers(tmp_path, rank10=ValueError("first"), rank0=ValueError("second"))
    assert type(first) is StageFailure
    assert "first" in str(first)
    assert isinstance(told_by_workers(tmp_path, lost=(1,), rank0=ValueError("peer")), OutOfMemory)


def test_workers_progress_is_told_once_and_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same figures are no news; those of the last step are."""
    monkeypatch.setattr(distributed, "_REPORT_SECONDS", 0.02)
    heard: list[int] = []
    context = StageContext(
        DataParams(seed=0), {}, {}, tmp_path, tmp_path, "cpu", lambda done, *_: heard.append(done)
    )
    with distributed._forwarded(tmp_path / "progress", context):
        distributed.write_json(tmp_path / "progress", [1, 2, {}])
        threading.Event().wait(0.3)
        distributed.write_json(tmp_path / "progress", [2, 2, {}])
    assert heard == [1, 2]


def test_memory_is_reserved_for_every_worker() -> None:
    """By Ray's names, as trials and nodes count it."""
    asked = Resources(cpus=2, memory_gb=3, workers=2)
    assert trials.demands(asked) == {"CPU": 2, "memory": 3e9}
