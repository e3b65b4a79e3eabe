"""Complete a graph on Ray: shared stages as tasks, targets as trials, all through the store."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omnicost.engine.graph import Chooser, Graph
from omnicost.engine.ray.cluster import (
    ray_session,
    remove_ray_folder,
    require_resources,
    require_shared_store,
    room_for,
)
from omnicost.engine.ray.stopped_trials import Stopped, remembered, salvage
from omnicost.engine.ray.target_states import OPEN, STOPPED, Board, Gate, OnChange
from omnicost.engine.ray.tasks import Submitter
from omnicost.engine.ray.trials import conduct_trials
from omnicost.engine.resources import SchedulerSpec
from omnicost.engine.store import Store


@dataclass(frozen=True)
class RayOptions:
    """Where to compute, and which trials to stop early.

    Args:
        address: of a Ray cluster; None starts Ray on this machine.
        cpus: logical CPUs of a local Ray; None takes what the machine has.
        chooser: which targets to compute at all, as many at once as there are devices.
    """

    address: str | None = None
    cpus: int | None = None
    scheduler: SchedulerSpec | None = None
    chooser: Chooser | None = None


@dataclass(frozen=True)
class Completion:
    """How far a graph was completed.

    Args:
        failed: target -> why.
        stopped: target -> how far it came before the scheduler stopped it.
        computed: keys of the stages that were added to the store.
        left: targets that the chooser left alone.
    """

    failed: Mapping[str, str] = field(default_factory=dict)
    stopped: Mapping[str, Stopped] = field(default_factory=dict)
    computed: frozenset[str] = frozenset()
    left: tuple[str, ...] = ()


def complete(
    graph: Graph[Any],
    store: Store,
    options: RayOptions | None = None,
    on_change: OnChange = lambda plan, state: None,
) -> Completion:
    """Have every target's outputs in the store, computing only what is missing.

    A stage that fails after its retries takes down the targets that need it; the others finish.

    Raises:
        InputError: if the cluster cannot compute the stages or does not share the store.
    """
    options = options or RayOptions()
    stopped = remembered(graph.plans, store, options.scheduler)
    wanted = Graph(tuple(p for p in graph.plans if p.target.id not in stopped), graph.stages)
    needed = wanted.needed(store.has)
    open_plans = [plan for plan in wanted.plans if needed & set(plan.trial)]
    names = [plan.target.id for plan in open_plans]
    ended = Graph(tuple(p for p in wanted.plans if p.target.id not in names), graph.stages)
    chooser = options.chooser
    if needed and chooser is not None and chooser.is_enough(names):
        wanted, needed, open_plans = ended, ended.needed(store.has), []
    if not needed:
        return Completion(stopped=stopped, left=tuple(names))
    with _scratch(store) as scratch, ray_session(scratch, options.address, options.cpus):
        require_shared_store(store)
        require_resources(graph.stages[key] for key in needed)
        submitter = Submitter(store, {s.key: s for s in graph.shared if s.key in needed})
        # What is left of targets whose trial has ended, nobody has to choose.
        due = needed if chooser is None else ended.needed(store.has)
        references = submitter.submit(due)
        gate = None if chooser is None else Gate(chooser, room_for(open_plans), submitter)
        board = Board(open_plans, references, on_change, gate)
        conduct_trials(board, store, scratch, options.scheduler)
        board.wait_for_stages()
        if options.scheduler is not None:
            stopped |= salvage(board.plans, board.stopped, store, options.scheduler)
    return Completion(
        failed=_failures(wanted, store, board),
        stopped=stopped,
        computed=frozenset(key for key in needed if store.has(key)),
        left=tuple(name for name in names if board.states.get(name, OPEN) == OPEN),
    )


def _failures(graph: Graph[Any], store: Store, board: Board) -> dict[str, str]:
    """Why each target without all of its outputs has not got them."""
    causes = {}
    for plan in graph.plans:
        is_left = board.states.get(plan.target.id) in (STOPPED, OPEN)
        if is_left or all(map(store.has, plan.outputs.values())):
            continue
        failed = [stage for stage in plan.stages if stage.key in board.failed_stages]
        cause = board.causes.get(plan.target.id)
        if failed:
            told, label = board.failed_stages[failed[0].key], failed[0].label
            cause = told if told.startswith(label) else f"{label}: {told}"
        causes[plan.target.id] = cause or "its outputs are missing"
    return causes


@contextmanager
def _scratch(store: Store) -> Iterator[Path]:
    """A private folder that every node sees, for all that Ray insists on writing; gone afterwards.

    Those of drivers that were killed go now.
    """
    home = store.root / "ray"
    home.mkdir(mode=0o700, exist_ok=True)
    for left in home.iterdir():
        if not store.locks.is_held(left.name):
            remove_ray_folder(left)
    name = f"sweep-{uuid.uuid4().hex[:12]}"
    lease = store.locks.try_acquire(name)
    assert lease is not None  # the name is new
    with lease:
        folder = home / name
        folder.mkdir(mode=0o700)
        try:
            yield folder
        finally:
            remove_ray_folder(folder)
