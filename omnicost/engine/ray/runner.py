"""Run a graph on Ray: shared stages as tasks, cells as trials, everything through the store."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from omnicost.engine.graph import CellPlan, Graph
from omnicost.engine.ray.cell_states import Board
from omnicost.engine.ray.cluster import ray_session, require_resources, require_shared_store
from omnicost.engine.ray.stopped_trials import Stopped, remembered, salvage
from omnicost.engine.ray.tasks import submit
from omnicost.engine.ray.trials import run_trials
from omnicost.engine.resources import SchedulerSpec
from omnicost.engine.store import Store

Watcher = Callable[[CellPlan, str], None]  # a cell changed its state


@dataclass(frozen=True)
class RunOptions:
    """How to run, as opposed to what.

    Args:
        address: of a Ray cluster; None starts Ray on this machine.
        cpus: logical CPUs of a local Ray; None takes what the machine has.
    """

    address: str | None = None
    cpus: int | None = None
    scheduler: SchedulerSpec | None = None


@dataclass(frozen=True)
class SweepEnd:
    """How a run ended.

    Args:
        failed: cell -> why.
        stopped: cell -> how far it came before the card's scheduler stopped it.
        computed: keys of the stages that this run added to the store.
    """

    failed: Mapping[str, str] = field(default_factory=dict)
    stopped: Mapping[str, Stopped] = field(default_factory=dict)
    computed: frozenset[str] = frozenset()


def run_graph(
    graph: Graph,
    store: Store,
    options: RunOptions | None = None,
    watch: Watcher = lambda plan, state: None,
) -> SweepEnd:
    """Have every cell's outputs in the store, computing only what is missing.

    A stage that fails after its retries takes down the cells that need it; the others finish.

    Raises:
        InputError: if the cluster cannot run the stages or does not share the store.
    """
    options = options or RunOptions()
    stopped = remembered(graph.plans, store, options.scheduler)
    wanted = Graph(tuple(p for p in graph.plans if p.cell.id not in stopped), graph.stages)
    needed = wanted.needed(store.has)
    if not needed:
        return SweepEnd(stopped=stopped)
    with ray_session(options.address, options.cpus), _scratch(store) as scratch:
        require_shared_store(store)
        require_resources(graph.stages[key] for key in needed)
        references = submit(store, (stage for stage in graph.shared if stage.key in needed))
        open_plans = [plan for plan in wanted.plans if needed & set(plan.trial)]
        board = Board(open_plans, references, watch)
        run_trials(board, store, scratch, options.scheduler)
        board.wait_for_stages()
        if options.scheduler is not None:
            stopped |= salvage(board.plans, board.stopped, store, options.scheduler)
    return SweepEnd(
        failed=_failures(wanted, store, board),
        stopped=stopped,
        computed=frozenset(key for key in needed if store.has(key)),
    )


def _failures(graph: Graph, store: Store, board: Board) -> dict[str, str]:
    """Why each cell without all of its outputs has not got them."""
    causes = {}
    for plan in graph.plans:
        if plan.cell.id in board.stopped or all(map(store.has, plan.outputs.values())):
            continue
        failed = [s.key for s in plan.stages if s.key in board.failed_stages]
        cause = board.failed_stages[failed[0]] if failed else board.causes.get(plan.cell.id)
        causes[plan.cell.id] = cause or "its outputs are missing"
    return causes


@contextmanager
def _scratch(store: Store) -> Iterator[Path]:
    """A folder that every node sees, for what Ray Tune insists on writing; gone afterwards."""
    name = f"sweep-{uuid.uuid4().hex[:12]}"
    lease = store.locks.try_acquire(name)
    assert lease is not None  # the name is new
    with lease:
        folder = store.root / "building" / f"{name}.tune"
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
