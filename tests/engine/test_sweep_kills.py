"""Driver, workers and the Ray node killed at random moments: the same command goes on."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from engine_driver import toy_graph
from engine_toys import rows_of
from places import DRIVERS, SUPPORT

from omnicost.engine.execute import execute
from omnicost.engine.graph import Graph
from omnicost.engine.store import Store

DRIVER = DRIVERS / "engine_driver.py"
LOCAL_PROC = Path("/proc/self/stat").exists()
pytestmark = pytest.mark.skipif(not LOCAL_PROC, reason="finds its victims in /proc")


class Sweep:
    """One run of the driver and the processes below it."""

    def __init__(self, root: Path, arguments: tuple[str, ...]) -> None:
        self.root = root
        environment = {
            **os.environ,
            "PYTHONPATH": str(SUPPORT),
            "OMP_NUM_THREADS": "1",
            "RAY_worker_niceness": "0",  # Ray's 15 would starve the stages on a busy machine
        }
        self.process = subprocess.Popen(
            [sys.executable, str(DRIVER), str(root), *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def is_running(self) -> bool:
        return self.process.poll() is None

    def working(self) -> bool:
        """Whether a stage is being computed."""
        return bool(list(self.root.glob("locks/*.beat"))) and any(
            "ray::" in command for command in self.commands().values()
        )

    def commands(self) -> dict[int, str]:
        """Process id -> command of every process below the driver."""
        children: dict[int, list[int]] = {}
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                fields = _read(folder / "stat").rpartition(")")[2].split()
                if fields:
                    children.setdefault(int(fields[1]), []).append(int(folder.name))
        found: dict[int, str] = {}
        waiting = [self.process.pid]
        while waiting:
            for child in children.get(waiting.pop(), []):
                found[child] = _read(Path(f"/proc/{child}/cmdline")).replace("\0", " ")
                waiting.append(child)
        return found

    def kill(self, victim: str, chance: random.Random) -> bool:
        """Kill one process of that kind; False if there is none."""
        commands = self.commands()
        kinds = {
            "driver": [self.process.pid],
            "node": [p for p, c in commands.items() if "/raylet/raylet" in c.split(" ")[0]],
            "worker": [p for p, c in commands.items() if _is_stage_or_trial(c)],
        }
        if not kinds[victim] or not self.is_running():
            return False
        os.kill(chance.choice(kinds[victim]), signal.SIGKILL)
        return True

    def end(self) -> None:
        """Kill what is left, by the ids that belong to this run."""
        for pid in [self.process.pid, *self.commands()]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait(30)


def _is_stage_or_trial(command: str) -> bool:
    helpers = ("IDLE", "Agent", "Actor", "Cleaner")
    return command.startswith("ray::") and not any(name in command for name in helpers)


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode(errors="replace")
    except OSError:
        return ""


def _wait(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


def sweep_under_fire(
    root: Path, arguments: tuple[str, ...], victims: list[str], seed: int
) -> Counter[str]:
    """Run the driver again and again, killing one victim after the other while stages run."""
    chance = random.Random(seed)
    killed: Counter[str] = Counter()
    while True:
        sweep = Sweep(root, arguments)
        try:
            while sweep.is_running() and victims:
                if not _wait(lambda now=sweep: now.working() or not now.is_running(), 120):
                    break
                time.sleep(chance.uniform(0.0, 1.0))
                if sweep.kill(victims[0], chance):
                    killed[victims.pop(0)] += 1
                    time.sleep(0.3)
            output, _ = sweep.process.communicate(timeout=600)
            if sweep.process.returncode == 0:
                assert json.loads(output.splitlines()[-1])["failed"] == {}
                return killed
        finally:
            sweep.end()


def check_undisturbed(graph: Graph, store: Store, other: Path) -> None:
    """Rows equal those of a plain loop, artefacts are whole, nothing finished ran again."""
    plain = Store(other)
    for stage in graph.stages.values():
        execute(plain, stage)
    assert rows_of(store.root, graph.plans) == rows_of(plain.root, graph.plans)
    for key in graph.stages:
        assert store.faults(key) == ()
        events = [execution.event for execution in store.executions(key)]
        assert events.count("done") <= 1  # a kill between rename and note leaves none
        assert "done" not in events[:-1], f"ran again after it was done: {events}"
        assert "discarded" not in events


def test_sweep_survives_a_killed_driver_and_worker(tmp_path: Path) -> None:
    """After one of each, the rows are those of an undisturbed run."""
    pytest.importorskip("ray")
    store = Store(tmp_path / "store")
    killed = sweep_under_fire(store.root, ("4", "0.15", "1"), ["driver", "worker"], seed=1)
    assert killed["driver"] == 1
    check_undisturbed(toy_graph(4, 0.15), store, tmp_path / "plain")


@pytest.mark.slow
def test_sweep_survives_twenty_kills(tmp_path: Path) -> None:
    """Twenty kills of driver, workers and node over one sweep change nothing."""
    pytest.importorskip("ray")
    store = Store(tmp_path / "store")
    victims = ["worker", "worker", "driver", "worker", "node"] * 4
    random.Random(7).shuffle(victims)
    planned = Counter(victims)
    killed = sweep_under_fire(store.root, ("20", "0.4", "3"), victims, seed=2)
    assert killed == planned
    assert killed.total() >= 20
    check_undisturbed(toy_graph(20, 0.4, 3), store, tmp_path / "plain")
