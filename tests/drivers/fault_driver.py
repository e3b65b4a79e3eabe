"""Faults at random moments, round after round, in a process of its own that forks its victims.

fault_driver.py SCENARIO FOLDER ROUNDS prints how many rounds came to what, as JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from engine_toys import DATA, TEACHER, DataParams, TeacherParams

from omnicost.cli.shared.door import line_of
from omnicost.cli.store import _remove
from omnicost.engine import lease as lease_module
from omnicost.engine.execute import StageContext, execute
from omnicost.engine.graph import Stage, StageKind
from omnicost.engine.params import Params
from omnicost.engine.resources import Resources
from omnicost.engine.store import Store

STEPS = 10
Counts = Counter[str]


def forked(work: Callable[..., Any], *arguments: Any) -> int:
    """The id of a process that does that and ends with 0."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work(*arguments)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    return pid


def exit_code(pid: int) -> int:
    """How a forked process ended; minus the signal if one ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def refusal(work: Callable[..., Any], *arguments: Any) -> str | None:
    """The line that a call ends with; None if it ends well."""
    try:
        work(*arguments)
    except Exception as error:
        return line_of(error)
    return None


def whole_artefacts(store: Store) -> bool:
    """Whether all that is in sight is whole."""
    found = list(store.keys())
    return all(store.faults(key) == () for key in found)


def stages(pace: float = 0.01) -> list[Stage]:
    """Two data sets and a teacher of each, inputs before what reads them."""
    data = [Stage(DATA, DataParams(seed=seed), label=f"data {seed}") for seed in (0, 1)]
    return data + [
        Stage(
            TEACHER,
            TeacherParams(share=1.0, steps=STEPS, step_seconds=pace),
            inputs={"data": each.key},
            label=f"teacher of {each.label}",
        )
        for each in data
    ]


def complete(root: Path, **options: Any) -> None:
    """Have every stage in the store."""
    store = Store(root, **options)
    for stage in stages():
        execute(store, stage)


def contents(root: Path) -> dict[str, bytes]:
    """What the stages wrote, by name; also checks that every artefact is whole."""
    store = Store(root, create=False)
    found = {}
    for stage in stages():
        assert store.faults(stage.key) == (), store.faults(stage.key)
        for path in sorted(store.path(stage.key).glob("*.npy")):
            found[f"{stage.label}/{path.name}"] = path.read_bytes()
    return found


def stopped(folder: Path, rounds: int, chance: random.Random, number: signal.Signals) -> Counts:
    """A process that computes is ended by a signal; the next finishes to the same bytes."""
    complete(folder / "whole")
    whole, counts = contents(folder / "whole"), Counter[str]()
    for each in range(rounds):
        root = folder / str(each)
        Store(root)
        pid = forked(complete, root)
        time.sleep(chance.uniform(0, 0.3))
        os.kill(pid, number)
        counts["stopped" if exit_code(pid) else "done before"] += 1
        assert exit_code(forked(complete, root)) == 0
        assert contents(root) == whole
        store = Store(root, create=False)
        _remove(store, list(store.leftovers()), [])
        assert list(store.leftovers()) == []
        counts["right"] += 1
    return counts


def killed(folder: Path, rounds: int, chance: random.Random) -> Counts:
    """SIGKILL."""
    return stopped(folder, rounds, chance, signal.SIGKILL)


def terminated(folder: Path, rounds: int, chance: random.Random) -> Counts:
    """SIGTERM, which cluster schedulers send."""
    return stopped(folder, rounds, chance, signal.SIGTERM)


def _littered(root: Path) -> Store:
    """A store with what it needs, what it does not, and what the dead left."""
    complete(root)
    store = Store(root, create=False)
    for seed in range(10, 16):
        execute(store, Stage(DATA, DataParams(seed=seed)))
    for key in [stage.key for stage in stages()]:
        left = store.building(key)
        for number in range(50):
            (left / f"{number}.npy").write_bytes(b"x" * 1000)
    return store


def collect(store: Store, unneeded: list[str]) -> None:
    """What `store gc` does."""
    _remove(store, list(store.leftovers()), unneeded)


def collected(folder: Path, rounds: int, chance: random.Random) -> Counts:
    """`store gc` is killed while it removes: nothing needed goes, nothing half stays."""
    counts = Counter[str]()
    for each in range(rounds):
        store = _littered(folder / str(each))
        unneeded = sorted(set(store.keys()) - {stage.key for stage in stages()})

        pid = forked(collect, store, unneeded)
        time.sleep(chance.uniform(0, 0.05))
        os.kill(pid, signal.SIGKILL)
        counts["stopped" if exit_code(pid) else "done before"] += 1
        contents(store.root)
        assert whole_artefacts(store)
        assert exit_code(forked(collect, store, unneeded)) == 0
        assert set(store.keys()) == {stage.key for stage in stages()}
        assert list(store.leftovers()) == []
        counts["right"] += 1
    return counts


def planned(folder: Path, rounds: int, chance: random.Random) -> Counts:
    """`plan --manifest` is killed: a list that somebody filled in stays, the next run finishes."""
    from omnicost.cli import app

    def plan(out: Path) -> None:
        arguments = ["plan", "--dataset", "coco", "--images", "60", "--budget", "3h"]
        with Path(os.devnull).open("w") as quiet, contextlib.redirect_stdout(quiet):
            app([*arguments, "--manifest", str(out)], standalone_mode=False)

    whole, counts = folder / "whole", Counter[str]()
    started = time.monotonic()
    assert exit_code(forked(plan, whole)) == 0
    took = time.monotonic() - started
    wanted = {path.relative_to(whole): path.read_bytes() for path in _files(whole)}
    assert len(wanted) > 3
    filled = next(path for path in _files(whole) if path.suffix == ".csv")
    filled.write_bytes(filled.read_bytes() + b"done by Ada\n")
    mine = filled.read_bytes()
    for each in range(rounds):
        out = folder / str(each)
        for place in (out, whole):
            pid = forked(plan, place)
            time.sleep(chance.uniform(0, took))
            os.kill(pid, signal.SIGKILL)
            counts["stopped" if exit_code(pid) == -signal.SIGKILL else "ended before"] += 1
        assert filled.read_bytes() == mine
        assert exit_code(forked(plan, out)) == 0
        found = {path.relative_to(out): path.read_bytes() for path in _files(out)}
        assert {name: found.get(name) for name in wanted} == wanted
        counts["right"] += 1
    return counts


def _files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file()]


def _mounted(place: Path, options: str) -> None:
    place.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(place)], check=True)


def full(folder: Path, rounds: int, chance: random.Random) -> Counts:
    """The disk fills up at any point of a stage: one line, nothing half; with room it finishes."""
    complete(folder / "whole")
    whole, counts = contents(folder / "whole"), Counter[str]()
    _mounted(folder / "small", "size=512k")
    for each in range(rounds):
        root, ballast = folder / "small" / str(each), folder / "small" / "ballast"
        Store(root)
        room = os.statvfs(folder / "small").f_bavail * 4096
        ballast.write_bytes(bytes(max(0, room - chance.randrange(0, 80_000))))
        line = refusal(complete, root)
        assert line is None or ("No space left" in line and "fault of omnicost" not in line), line
        counts["refused" if line else "fitted"] += 1
        store = Store(root, create=False)
        assert whole_artefacts(store)
        ballast.unlink()
        complete(root)
        assert contents(root) == whole
        shutil.rmtree(root)
        counts["right"] += 1
    subprocess.run(["umount", str(folder / "small")], check=True)
    return counts


def read_only(folder: Path, rounds: int, chance: random.Random) -> Counts:
    """The file system turns read-only between two stages: one line; writable, it goes on."""
    complete(folder / "whole")
    whole, counts = contents(folder / "whole"), Counter[str]()
    place = folder / "fixed"
    _mounted(place, "size=2m")
    for each in range(rounds):
        root = place / str(each)
        store, done = Store(root), chance.randrange(5)
        for stage in stages()[:done]:
            execute(store, stage)
        subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
        line = refusal(complete, root)
        assert done == 4 or "Read-only file system; name a folder" in str(line), line
        counts["refused" if line else "nothing to do"] += 1
        subprocess.run(["mount", "-o", "remount,rw", str(place)], check=True)
        complete(root)
        assert contents(root) == whole
        shutil.rmtree(root)
        counts["right"] += 1
    subprocess.run(["umount", str(place)], check=True)
    return counts


class HoardParams(Params):
    """How many blocks of 40 MB are held at once."""

    batch: int


def hoard(context: StageContext[HoardParams]) -> None:
    """Hold a batch of blocks."""
    held = [np.zeros(40_000_000 // 8) for _ in range(context.params.batch)]
    (context.out / "sum.txt").write_text(str(sum(block[0] for block in held)))


def half(stage: Stage) -> Params | None:
    assert isinstance(stage.params, HoardParams)
    return HoardParams(batch=stage.params.batch // 2)


HOARD = StageKind("hoard", 1, HoardParams, hoard, None, half)


def within_limits(store: Store, stage: Stage) -> None:
    """Execute a stage with 320 MB more than this process has; ends with 3 for want of more."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + 320_000_000
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))
    line = refusal(execute, store, stage)
    if line is not None:
        assert "MemoryError" in line, line
        os._exit(3)


def starved(folder: Path, rounds: int, chance: random.Random) -> Counts:
    """Memory ends (ulimit): one line; again with half the batch where the card allows it."""
    counts = Counter[str]()
    for each in range(rounds):
        store = Store(folder / str(each))
        allowed = Stage(HOARD, HoardParams(batch=10), resources=Resources(halve_batch=True))
        strict = replace(allowed, params=HoardParams(batch=11), resources=Resources())

        tried = (allowed, allowed, strict, strict)
        codes = [exit_code(forked(within_limits, store, stage)) for stage in tried]
        assert codes == [3, 0, 3, 3], codes
        events = [execution.event for execution in store.executions(allowed.key)]
        assert events == ["start", "exhausted", "start", "done"]
        assert store.manifest(allowed.key).half_batch
        assert "with half its batch" in store.log(allowed.key).read_text()
        assert not store.has(strict.key)
        counts["right"] += 1
    return counts


def _as_host(name: str, root: Path, order: list[int], lease_seconds: float, clock: bool) -> None:
    """Complete the stages as a machine of its own, whose clock may jump years."""
    lease_module.host_identity = lambda: name  # type: ignore[assignment]
    if clock:
        chance, real = random.Random(name), time.time
        time.time = lambda: real() + chance.uniform(-3e8, 3e8)
    store = Store(root, lease_seconds=lease_seconds)
    data, teachers = stages()[:2], stages()[2:]
    for each in order:
        execute(store, data[each])
        execute(store, teachers[each])


def shared(folder: Path, rounds: int, chance: random.Random, clock: bool = False) -> Counts:
    """Two machines on one store compute each stage once; one that is killed is replaced."""
    complete(folder / "whole")
    whole, counts = contents(folder / "whole"), Counter[str]()
    for each in range(rounds):
        root, kills = folder / str(each), each % 2 == 1
        Store(root)
        lease = 1.5 if kills else 60.0
        pids = [
            forked(_as_host, name, root, order, lease, clock)
            for name, order in (("ada", [0, 1]), ("bob", [1, 0]))
        ]
        if kills:
            time.sleep(chance.uniform(0.0, 0.2))
            os.kill(pids[0], signal.SIGKILL)
        codes = [exit_code(pid) for pid in pids]
        assert codes[1] == 0, codes
        assert contents(root) == whole
        store = Store(root, create=False)
        for stage in stages():
            events = [execution.event for execution in store.executions(stage.key)]
            assert events.count("done") <= 1, events
            assert "discarded" not in events
            counts["taken over"] += "lost" in events
        counts["right"] += 1
    return counts


def jumping(folder: Path, rounds: int, chance: random.Random) -> Counts:
    """The same with clocks that jump by years at every look."""
    return shared(folder, rounds, chance, clock=True)


SCENARIOS: dict[str, Callable[[Path, int, random.Random], Counts]] = {
    each.__name__: each
    for each in (
        killed, terminated, collected, planned, full, read_only, starved, shared, jumping
    )
}  # fmt: skip


if __name__ == "__main__":
    name, place, rounds = sys.argv[1:]
    print(json.dumps(SCENARIOS[name](Path(place), int(rounds), random.Random(name))))
