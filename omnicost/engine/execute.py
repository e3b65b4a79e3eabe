"""Run one stage against the store: lease, threads, seeds, log, then publish."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import platform
import random
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, Generic, NamedTuple, TextIO

import numpy as np

from omnicost.engine.graph import ParamsT, Stage
from omnicost.engine.lease import Lease
from omnicost.engine.manifest import StageManifest
from omnicost.engine.params import Params
from omnicost.engine.store import Store
from omnicost.errors import ConfigError, InputError, OmnicostError, StageError
from omnicost.progress import Progress, waited_seconds

_PACKAGES: Final = ("omnicost", "numpy", "torch", "torchvision", "transformers", "ray")
_POLL_SECONDS: Final = 0.25
_NO_ROOM_BYTES: Final = 1 << 16
_STARVED: Final = ("lost", "exhausted")  # events that a smaller batch may help


class StageFailure(StageError):
    """A stage raised; the same stage may succeed when tried again."""


class StageRefusal(StageError):
    """A stage refused its input; trying again is of no use."""


class OutOfMemory(StageFailure):
    """A stage asked for more memory than there is; it may succeed with a smaller batch."""


@dataclass(frozen=True)
class StageContext(Generic[ParamsT]):
    """What a stage's function gets.

    Args:
        inputs: role -> folder of the artefact read in that role.
        scratch: role -> folder with what an unfinished stage left.
        out: empty folder to write the artefact's files into.
        work: scratch that survives a killed attempt, for checkpoints.
        report: call with (done, total, figures) as the work goes on.
    """

    params: ParamsT
    inputs: Mapping[str, Path]
    scratch: Mapping[str, Path]
    out: Path
    work: Path
    device: str
    report: Progress


class StageOutcome(NamedTuple):
    """How a stage came to be in the store."""

    key: str
    reused: bool


Call = Callable[[Stage, StageContext], float]  # calls the function, returns foreign CPU seconds


def call_here(stage: Stage, context: StageContext) -> float:
    """Call the stage's function in this process."""
    stage.kind.function(context)
    return 0.0


def execute(
    store: Store, stage: Stage, observe: Progress | None = None, call: Call = call_here
) -> StageOutcome:
    """Have the stage's artefact in the store: find it, wait for whoever computes it, or compute it.

    Args:
        observe: is told of the stage's progress.
        call: how to call the stage's function (in this process by default).

    Raises:
        StageFailure: if the function raised; the text names the log.
        StageError: if it refused its input, so that trying again is of no use.
    """
    lease = _lease_or_none(store, stage.key)
    if lease is None:
        return StageOutcome(stage.key, reused=True)
    with Attempt(store, stage, lease) as attempt:
        context = attempt.context(observe)
        with logged(store, [stage]), _failures_named(store.log(stage.key), stage):
            prepare_process(stage)
            foreign_cpu_seconds = call(stage, context)
        return attempt.publish(foreign_cpu_seconds)


def _lease_or_none(store: Store, key: str) -> Lease | None:
    """A lease to compute the stage, or None once its artefact is there."""
    while not store.has(key):
        lease = store.locks.try_acquire(key)
        if lease is None:
            time.sleep(_POLL_SECONDS)
        elif store.has(key):
            store.locks.release(lease)
        else:
            return lease
    return None


def params_of(store: Store, stage: Stage) -> Params:
    """The stage's own; with half the batch after a loss, where it allows that."""
    record = store.executions(stage.key)
    if stage.resources.halve_batch and any(e.event in _STARVED for e in record):
        return stage.kind.half_batch(stage) or stage.params
    return stage.params


class Attempt:
    """One attempt at a stage: on record from its start to its end; its files go if it fails.

    A context manager that holds the lease; an attempt that was not published has failed.
    """

    def __init__(self, store: Store, stage: Stage, lease: Lease) -> None:
        self.store = store
        self.stage = stage
        self.lease = lease
        self._has_ended = False

    def __enter__(self) -> Attempt:
        key, lost = self.stage.key, self.lease.lost
        with contextlib.ExitStack() as undo:
            undo.enter_context(self.lease)
            if lost is not None:
                self.store.record(key, "lost", lost.wall_seconds, lost.cpu_seconds)
            self.store.record(key, "start")
            self._building = self.store.building(key)
            self.params = params_of(self.store, self.stage)
            self._waited_before = waited_seconds()
            self._started = datetime.now(UTC).isoformat(timespec="seconds")
            undo.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        with contextlib.ExitStack() as last:
            last.push(self.lease)  # given up even if the disk is too full for the record
            if not self._has_ended:
                shutil.rmtree(self._building, ignore_errors=True)
                starved = kind is not None and issubclass(kind, OutOfMemory | MemoryError)
                event = "exhausted" if starved else "failed"
                self.store.record(self.stage.key, event, *self.lease.seconds)

    def context(self, observe: Progress | None = None) -> StageContext:
        """What the stage's function gets.

        Raises:
            StageError: if something that it reads is missing.
        """
        store, stage = self.store, self.stage
        missing = [role for role, key in stage.inputs.items() if not store.has(key)]
        if missing:
            raise StageError(f"{stage.label}: its input {missing[0]} is not in {store.root}")
        for key in stage.inputs.values():
            try:
                store.require_whole(key)
            except InputError as error:
                raise StageError(f"{stage.label}: {error}") from None

        def report(done: int, total: int, figures: dict[str, Any]) -> None:
            self.lease.report(done, total, figures)
            if observe is not None:
                observe(done, total, figures)

        return StageContext(
            params=self.params,
            inputs={role: store.path(key) for role, key in stage.inputs.items()},
            scratch={role: store.work(key) for role, key in stage.scratch.items()},
            out=self._building,
            work=store.work(stage.key),
            device=device_for(stage),
            report=report,
        )

    def publish(self, foreign_cpu_seconds: float = 0.0) -> StageOutcome:
        """Put what was written into the store.

        Raises:
            StageFailure: if somebody took the stage over meanwhile.
        """
        store, key = self.store, self.stage.key
        if not self.lease.is_held():
            raise StageFailure(f"{self.stage.label}: lost its lease while it was suspended")
        wall_seconds, own_cpu_seconds = self.lease.seconds
        cpu_seconds = own_cpu_seconds + foreign_cpu_seconds
        manifest = self._manifest(wall_seconds, cpu_seconds)
        self._log_speed(manifest)
        published = store.publish(self._building, manifest)
        self._has_ended = True
        store.record(key, "done" if published else "discarded", wall_seconds, cpu_seconds)
        shutil.rmtree(store.root / "work" / key, ignore_errors=True)
        return StageOutcome(key, reused=not published)

    def _manifest(self, wall_seconds: float, cpu_seconds: float) -> StageManifest:
        stage = self.stage
        record = self.store.executions(stage.key)
        earlier = [e for e in record if e.event in ("failed", *_STARVED)]
        return StageManifest(
            key=stage.key,
            stage=stage.name,
            version=stage.kind.version,
            label=stage.label,
            params=stage.params.identity(),
            inputs=dict(stage.inputs),
            scratch=dict(stage.scratch),
            salt=stage.salt,
            units=stage.units,
            unit_size=stage.unit_size,
            wall_seconds=wall_seconds,
            cpu_seconds=cpu_seconds,
            earlier_wall_seconds=sum(e.wall_seconds for e in earlier),
            earlier_cpu_seconds=sum(e.cpu_seconds for e in earlier),
            started=self._started,
            host=platform.node(),
            device=device_name(device_for(stage)),
            threads=stage.resources.threads,
            workers=stage.resources.workers,
            half_batch=self.params is not stage.params,
            waited_seconds=self.lease.share * (waited_seconds() - self._waited_before),
            versions=package_versions(),
            files={},
        )

    def _log_speed(self, manifest: StageManifest) -> None:
        rate = manifest.images_per_second
        speed = "" if rate is None else f"{rate:.3g} images/s, "
        with self.store.log(self.stage.key).open("a") as log:
            log.write(f"{speed}waited for data {manifest.waiting:.0%} of the time\n")
            log.write(f"{manifest.advice}\n" if manifest.advice else "")
            log.write("with half its batch\n" if manifest.half_batch else "")


def device_for(stage: Stage) -> str:
    """The torch device of a stage: a GPU if it was given one."""
    return "cuda" if stage.resources.gpus else "cpu"


def prepare_process(stage: Stage) -> None:
    """Fix thread counts and global seeds, so that a stage does not depend on what ran before it.

    The numbers that matter come from `derive_seed`; the global seeds are a second line.
    """
    seed = int(stage.key[:8], 16)
    random.seed(seed)
    np.random.seed(seed)
    torch = sys.modules.get("torch")  # there by now if the stage's function uses it
    if torch is not None:
        torch.set_num_threads(stage.resources.threads)
        torch.manual_seed(seed)


@contextlib.contextmanager
def _failures_named(log: Path, stage: Stage) -> Iterator[None]:
    """What the function raises becomes one line; the traceback goes to the log."""
    try:
        yield
    except (InputError, ConfigError) as error:
        traceback.print_exc()
        raise StageRefusal(f"{stage.label}: {error}") from None
    except (StageFailure, StageRefusal):
        raise
    except Exception as error:
        traceback.print_exc()
        text = (str(error).strip().splitlines() or [""])[0]
        is_unexplained = isinstance(error, OSError) and error.errno is None
        if is_unexplained and shutil.disk_usage(log.parent).free < _NO_ROOM_BYTES:
            text = f"No space left on device ({text})"  # NumPy only says what it could not write
        kind = "" if isinstance(error, OmnicostError) else f"{type(error).__name__}: "
        raise failure_for(error)(f"{stage.label}: {kind}{text} (log: {log})") from None


def failure_for(error: Exception) -> type[StageError]:
    """What a stage's error is raised as: torch's want of memory is a RuntimeError."""
    if isinstance(error, InputError | ConfigError):
        return StageRefusal
    starved = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return OutOfMemory if starved else StageFailure


@contextlib.contextmanager
def logged(store: Store, stages: Sequence[Stage]) -> Iterator[None]:
    """Send what the stages print and log to the file of each; nothing reaches the terminal."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    beside = f", in a pass of {len(stages)}" if len(stages) > 1 else ""
    files = []
    with contextlib.ExitStack() as opened:
        for stage in stages:
            files.append(opened.enter_context(store.log(stage.key).open("a", buffering=1)))
            where = f"on {platform.node()} pid {os.getpid()}"
            files[-1].write(f"--- {now} {stage.label} {where}{beside}\n")
        target = files[0] if len(files) == 1 else _Tee(files)
        handler = logging.StreamHandler(target)
        handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
        logging.getLogger().addHandler(handler)
        try:
            with contextlib.redirect_stdout(target), contextlib.redirect_stderr(target):
                yield
        finally:
            logging.getLogger().removeHandler(handler)


class _Tee(io.TextIOBase):
    """Writes to several files."""

    def __init__(self, files: Sequence[TextIO]) -> None:
        self._files = files

    def write(self, text: str) -> int:
        for file in self._files:
            file.write(text)
        return len(text)


@lru_cache(maxsize=1)
def package_versions() -> dict[str, str]:
    """Versions of Python and of the packages that a result can depend on."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def device_name(device: str) -> str:
    """The hardware behind a torch device, such as ``cuda: NVIDIA A10``."""
    torch = sys.modules.get("torch")
    if device.startswith("cuda") and torch is not None and torch.cuda.is_available():
        return f"{device}: {torch.cuda.get_device_name(device)}"
    return f"{device}: {platform.processor() or platform.machine()}"
