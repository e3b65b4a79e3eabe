"""What is shown of a running sweep, on stores filled by small stages."""

from __future__ import annotations

import io

from rich.console import Console

from omnicost.engine.execute import execute
from omnicost.engine.graph import Graph
from omnicost.engine.store import Store
from omnicost.sweep.progress import SweepDisplay, Watcher


def printed(*renderables: object, terminal: bool = False) -> str:
    console = Console(file=io.StringIO(), width=80, force_terminal=terminal, color_system=None)
    console.print(*renderables)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_watcher_sees_done_and_running_stages(graph: Graph, store: Store) -> None:
    """The share of the work done grows from 0 to 1; a leased stage is shown with its progress."""
    watcher = Watcher(graph, store)
    assert watcher.look().done_share == 0
    stages = list(graph.stages.values())
    execute(store, stages[0])
    lease = store.locks.try_acquire(stages[1].key)
    assert lease is not None
    with lease:
        lease.report(1, 2, {"loss": 0.5})
        lease._beat()
        seen = watcher.look()
    assert [running.share for running in seen.running] == [0.5]
    assert 0 < seen.done_share < 1
    for stage in stages[1:]:
        execute(store, stage)
    seen = watcher.look()
    assert (seen.done_share, seen.running) == (1, ())
    assert seen.counts["student"] == (5, 5)


def test_lines_tell_what_ends_where_there_is_no_terminal(graph: Graph, store: Store) -> None:
    """Every stage and cell that ends is a plain line; a cell's line has its result."""
    console = Console(file=io.StringIO(), width=80)
    progress = SweepDisplay(Watcher(graph, store), console, lambda plan: "AP 12.3")
    with progress.shown():
        for stage in graph.stages.values():
            execute(store, stage)
        progress.on_cell(graph.plans[0], "running")
        progress.on_cell(graph.plans[0], "done")
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert text.count("\n") == len(graph.stages) + 1
    assert "cell toys/none=1/seed=0: done AP 12.3" in text
    assert "\x1b" not in text


def test_live_table_fits_a_narrow_terminal(graph: Graph, store: Store) -> None:
    """Stages, cells and the time to go fit 80 columns."""
    progress = SweepDisplay(
        Watcher(graph, store), Console(file=io.StringIO()), lambda plan: "AP 1.0"
    )
    for plan in graph.plans:
        progress.on_cell(plan, "done")
    text = printed(progress.render(), terminal=True)
    assert max(map(len, text.splitlines())) <= 80
    for part in ("elapsed", "teacher", "0/2", "done AP 1.0"):
        assert part in text
