"""Watching a sweep through its store: one live table, or plain lines where there is no terminal.

Everything shown is read from the store (artefacts, leases and their heartbeats), so it holds for
stages on any node, and for those that another sweep computes.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any, Final, NamedTuple

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from omnicost.engine.graph import Graph, TargetPlan
from omnicost.engine.lease import Beat
from omnicost.engine.store import Store
from omnicost.sweep.estimate import StageTimings

_LOOK_SECONDS: Final = 1.0
_RUNNING_SHOWN: Final = 8
_CELLS_SHOWN: Final = 16


class Running(NamedTuple):
    """A stage that somebody computes."""

    label: str
    beat: Beat

    @property
    def share(self) -> float:
        """How much of it is done, in [0, 1]."""
        return self.beat.done / self.beat.total if self.beat.total else 0.0


class Snapshot(NamedTuple):
    """The state of a sweep at one moment.

    Args:
        counts: kind of stage -> (done, all).
        done_share: how much of the expected work is done, in [0, 1].
    """

    counts: Mapping[str, tuple[int, int]]
    running: tuple[Running, ...]
    done_share: float


class Watcher:
    """Looks at a store on behalf of one graph.

    Args:
        is_open: only some of the graph will be computed, and nobody knows yet which.
    """

    def __init__(self, graph: Graph, store: Store, is_open: bool = False) -> None:
        self.graph = graph
        self.store = store
        self.is_open = is_open
        self.done = {key for key in graph.stages if store.has(key)}
        timings = StageTimings.of_store(store)
        floor = 0.5  # seconds: a stage's start-up
        self._expected = {k: timings.seconds(s) + floor for k, s in graph.stages.items()}
        self._at_start = sum(self._expected[key] for key in self.done)

    def look(self) -> Snapshot:
        """The state now."""
        left = self.graph.stages.keys() - self.done
        self.done |= set(filter(self.store.has, left))
        running = dict(self._running())
        total = sum(self._expected.values()) - self._at_start
        work = sum(self._expected[key] for key in self.done) - self._at_start
        work += sum(self._expected[key] * stage.share for key, stage in running.items())
        return Snapshot(self._counts(), tuple(running.values()), work / total if total else 1.0)

    def _counts(self) -> dict[str, tuple[int, int]]:
        every = Counter(stage.name for stage in self.graph.stages.values())
        done = Counter(self.graph.stages[key].name for key in self.done)
        return {name: (done[name], count) for name, count in every.items()}

    def _running(self) -> Iterator[tuple[str, Running]]:
        locks = self.store.locks
        for key, owner in locks.held():
            stage = self.graph.stages.get(key)
            if stage is not None and key not in self.done:
                yield key, Running(stage.label, locks.beat(owner))


class SweepDisplay:
    """Shows a running sweep; pass `on_cell` to the runner."""

    def __init__(
        self,
        watcher: Watcher,
        console: Console,
        result_of: Callable[[TargetPlan], str] = lambda plan: "",
    ) -> None:
        self.watcher = watcher
        self.console = console
        self.cells: dict[str, str] = {plan.target.id: "" for plan in watcher.graph.plans}
        self._result_of = result_of
        self._started = time.monotonic()
        self._snapshot = watcher.look()

    def on_cell(self, plan: TargetPlan, state: str) -> None:
        """Take note of a cell's new state."""
        result = self._result_of(plan) if state == "done" else ""
        self.cells[plan.target.id] = f"{state} {result}".strip()
        if not self.console.is_terminal and state != "running":
            self.tell(f"cell {plan.target.id}: {self.cells[plan.target.id]}")

    def tell(self, text: str) -> None:
        """Have a line above the table."""
        done, total = len(self.watcher.done), len(self.watcher.graph.stages)
        far = f"{done}" if self.watcher.is_open else f"{done}/{total}"
        clock = time.strftime("%H:%M:%S")
        self.console.print(f"{clock} [{far}] {text}", highlight=False, markup=False, soft_wrap=True)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show while the block runs; the table vanishes at its end."""
        ended = threading.Event()
        thread = threading.Thread(target=self._follow, args=(ended,), daemon=True)
        live = Live(
            get_renderable=self.render, console=self.console, transient=True, refresh_per_second=2
        )
        thread.start()
        try:
            with live if self.console.is_terminal else nullcontext():
                yield
        finally:
            ended.set()
            thread.join()
            self._look()

    def _follow(self, ended: threading.Event) -> None:
        while not ended.wait(_LOOK_SECONDS):
            self._look()

    def _look(self) -> None:
        before = set(self.watcher.done)
        self._snapshot = self.watcher.look()
        for key in self.watcher.done - before:
            if not self.console.is_terminal:
                stage = self.watcher.graph.stages[key]
                seconds = self.watcher.store.manifest(key).wall_seconds
                self.tell(f"{stage.label}: {seconds:.1f} s")

    def render(self) -> Group:
        """The live table."""
        return Group(self._heading(), self._stages(), self._running(), self._cells())

    def _heading(self) -> Text:
        seconds, share = time.monotonic() - self._started, self._snapshot.done_share
        left = "as many students as it takes" if self.watcher.is_open else "estimating"
        if share > 0.01 and not self.watcher.is_open:
            left = f"about {duration(seconds * (1 - share) / share)} to go"
        return Text(f"{duration(seconds)} elapsed, {left}", style="bold")

    def _stages(self) -> Table:
        table = Table.grid(padding=(0, 2))
        counts = self._snapshot.counts
        table.add_row(*counts)
        is_open = self.watcher.is_open
        table.add_row(*(f"{a}" if is_open else f"{a}/{b}" for a, b in counts.values()))
        return table

    def _running(self) -> Table:
        table = Table.grid(padding=(0, 2))
        for stage in self._snapshot.running[:_RUNNING_SHOWN]:
            table.add_row(
                Text(stage.label, style="cyan", overflow="ellipsis", no_wrap=True),
                f"{stage.share:4.0%}",
                Text(_figures(stage.beat.figures), overflow="ellipsis", no_wrap=True),
            )
        return table

    def _cells(self) -> Table:
        table = Table.grid(padding=(0, 2))
        told = [(cell, state) for cell, state in self.cells.items() if state]
        for cell, state in told[-_CELLS_SHOWN:]:
            table.add_row(Text(cell, overflow="ellipsis", no_wrap=True), state)
        return table


def _figures(figures: Mapping[str, Any]) -> str:
    shown = [(k, v) for k, v in figures.items() if isinstance(v, int | float)]
    return ", ".join(f"{name} {value:.4g}" for name, value in shown[:2])


def duration(seconds: float) -> str:
    """``0.3 s``, ``75 s``, ``12 min``, ``3.5 h``, ``4.2 days``."""
    if seconds < 1:
        return f"{round(seconds, 1):g} s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172800 else f"{seconds / 86400:.1f} days"
