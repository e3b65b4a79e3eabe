"""Run one stage against the store: lease, threads, seeds, log, then publish."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import platform
import random
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, NamedTuple, TextIO

import numpy as np

from omnicost.errors import ConfigError, InputError, OmnicostError, StageError
from omnicost.sweep.graph import Stage
from omnicost.sweep.lease import Lease
from omnicost.sweep.store import Manifest, Store

Report = Callable[[int, int, dict[str, Any]], None]
_PACKAGES: Final = ("omnicost", "numpy", "torch", "torchvision", "transformers", "ray")
_POLL_SECONDS: Final = 0.25


class StageFailure(StageError):
    """A stage raised; the same stage may succeed when tried again."""


@dataclass(frozen=True)
class StageContext:
    """What a stage's function gets.

    Args:
        inputs: role -> folder of the artefact read in that role.
        out: empty folder to write the artefact's files into.
        work: scratch that survives a killed attempt, for checkpoints.
        report: call with (done, total, figures) as the work goes on.
    """

    params: Mapping[str, Any]
    settings: Mapping[str, Any]
    inputs: Mapping[str, Path]
    out: Path
    work: Path
    device: str
    report: Report


class Outcome(NamedTuple):
    """How a stage came to be in the store."""

    key: str
    reused: bool
    wall_seconds: float


Body = Callable[[Stage, StageContext], float]  # runs the function, returns foreign CPU seconds


def execute(
    store: Store, stage: Stage, observe: Report | None = None, body: Body | None = None
) -> Outcome:
    """Have the stage's artefact in the store: find it, wait for whoever computes it, or compute it.

    Args:
        observe: is told of the stage's progress.
        body: how to call the stage's function (in this process by default).

    Raises:
        StageFailure: if the function raised; the text names the log.
        StageError: if it refused its input, so that trying again is of no use.
    """
    lease = _lease_or_none(store, stage.key)
    if lease is None:
        return Outcome(stage.key, True, 0.0)
    with lease:
        _record_lost(store, lease)
        store.record(stage.key, "start")
        building = store.building(stage.key)
        try:
            return _compute(store, stage, lease, building, observe, body or call_function)
        except BaseException:
            store.record(stage.key, "failed", *lease.seconds)
            shutil.rmtree(building, ignore_errors=True)
            raise


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


def _record_lost(store: Store, lease: Lease) -> None:
    if lease.lost is not None:
        store.record(lease.name, "lost", lease.lost.wall_seconds, lease.lost.cpu_seconds)


def _compute(
    store: Store,
    stage: Stage,
    lease: Lease,
    building: Path,
    observe: Report | None,
    body: Body,
) -> Outcome:
    started = datetime.now(UTC).isoformat(timespec="seconds")
    context = _context(store, stage, lease, building, observe)
    with _logged(store.log(stage.key), stage), _failures_named(store.log(stage.key), stage):
        prepare_process(stage)
        foreign_cpu_seconds = body(stage, context)
    if not lease.is_held():
        raise StageFailure(f"{stage.label}: lost its lease while it was suspended")
    wall_seconds, own_cpu_seconds = lease.seconds
    cpu_seconds = own_cpu_seconds + foreign_cpu_seconds
    manifest = _manifest(store, stage, context.device, started, wall_seconds, cpu_seconds)
    published = store.publish(building, manifest)
    store.record(stage.key, "done" if published else "discarded", wall_seconds, cpu_seconds)
    shutil.rmtree(store.root / "work" / stage.key, ignore_errors=True)
    return Outcome(stage.key, not published, wall_seconds)


def _manifest(
    store: Store,
    stage: Stage,
    device: str,
    started: str,
    wall_seconds: float,
    cpu_seconds: float,
) -> Manifest:
    earlier = [e for e in store.executions(stage.key) if e.event in ("failed", "lost")]
    return Manifest(
        key=stage.key,
        stage=stage.name,
        version=stage.kind.version,
        label=stage.label,
        params=dict(stage.params),
        inputs=dict(stage.inputs),
        fingerprints=dict(stage.fingerprints),
        salt=stage.salt,
        units=stage.units,
        wall_seconds=wall_seconds,
        cpu_seconds=cpu_seconds,
        earlier_wall_seconds=sum(e.wall_seconds for e in earlier),
        earlier_cpu_seconds=sum(e.cpu_seconds for e in earlier),
        started=started,
        host=platform.node(),
        device=device_name(device),
        threads=stage.resources.threads,
        workers=stage.resources.workers,
        versions=package_versions(),
        files={},
    )


def _context(
    store: Store, stage: Stage, lease: Lease, building: Path, observe: Report | None
) -> StageContext:
    missing = [role for role, key in stage.inputs.items() if not store.has(key)]
    if missing:
        raise StageError(f"{stage.label}: its input {missing[0]} is not in {store.root}")

    def report(done: int, total: int, figures: dict[str, Any]) -> None:
        lease.report(done, total, figures)
        if observe is not None:
            observe(done, total, figures)

    return StageContext(
        params=stage.params,
        settings=stage.settings,
        inputs={role: store.path(key) for role, key in stage.inputs.items()},
        out=building,
        work=store.work(stage.key),
        device=device_for(stage),
        report=report,
    )


def call_function(stage: Stage, context: StageContext) -> float:
    """Call the stage's function in this process."""
    resolve(stage.kind.function)(context)
    return 0.0


def resolve(function: str) -> Callable[[StageContext], None]:
    """The function that ``package.module:function`` names."""
    module, _, name = function.partition(":")
    return getattr(importlib.import_module(module), name)


def device_for(stage: Stage) -> str:
    """The torch device of a stage: the one its settings name, else a GPU if it was given one."""
    named = stage.settings.get("device")
    return str(named) if named else ("cuda" if stage.resources.gpus else "cpu")


def prepare_process(stage: Stage) -> None:
    """Fix thread counts and global seeds, so that a stage does not depend on what ran before it.

    The numbers that matter come from `derive_seed`; the global seeds are a second line.
    """
    seed = int(stage.key[:8], 16)
    random.seed(seed)
    np.random.seed(seed)
    torch = sys.modules.get("torch")
    if torch is None and stage.kind.function.startswith("omnicost."):
        import torch
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
        raise StageError(f"{stage.label}: {error}") from None
    except StageFailure:
        raise
    except Exception as error:
        traceback.print_exc()
        text = (str(error).strip().splitlines() or [""])[0]
        kind = "" if isinstance(error, OmnicostError) else f"{type(error).__name__}: "
        raise StageFailure(f"{stage.label}: {kind}{text} (log: {log})") from None


@contextlib.contextmanager
def _logged(path: Path, stage: Stage) -> Iterator[None]:
    """Send what the stage prints and logs to its file; nothing reaches the terminal."""
    with path.open("a", buffering=1) as file:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        file.write(f"--- {now} {stage.label} on {platform.node()} pid {os.getpid()}\n")
        handler = logging.StreamHandler(file)
        handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
        logging.getLogger().addHandler(handler)
        try:
            with _redirected(file):
                yield
        finally:
            logging.getLogger().removeHandler(handler)


@contextlib.contextmanager
def _redirected(file: TextIO) -> Iterator[None]:
    with contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
        yield


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
