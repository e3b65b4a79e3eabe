"""Connecting to Ray, quietly, and refusing clusters that cannot compute the stages."""

from __future__ import annotations

import _thread
import logging
import os
import shutil
import signal
import socket
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from omnicost.engine.graph import Stage
from omnicost.engine.resources import Resources
from omnicost.engine.store import Store
from omnicost.errors import InputError, StageError

_WATCH_SECONDS: Final = 2.0
_NODE_DIED: Final = getattr(signal, "SIGUSR2", signal.SIGINT)  # Tune listens to SIGUSR1
_START_ATTEMPTS: Final = 4
_CONNECT_SECONDS: Final = 10.0


@contextmanager
def ray_session(address: str | None = None, cpus: int | None = None) -> Iterator[None]:
    """A connection to Ray: to the cluster at `address`, or a local one that ends with the block.

    An existing connection of this process is used as it is.

    Raises:
        InputError: if there is no cluster at the address.
    """
    if ray.is_initialized():
        yield
        return
    logging.getLogger("ray").setLevel(logging.ERROR)
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:
        _start_local(cpus, quiet)
        session = Path(ray._private.worker._global_node.get_session_dir_path())
    else:
        _connect(address, quiet)
        session = None
    try:
        with _watched_node():
            yield
    finally:
        ray.shutdown()
        if session is not None:
            _remove_session(session)


def _remove_session(session: Path) -> None:
    """Remove the files of an ended local Ray, and the link to them, which would dangle."""
    latest = session.parent / "session_latest"
    if latest.is_symlink() and Path(os.readlink(latest)) == session:
        latest.unlink()
    shutil.rmtree(session, ignore_errors=True)


def _start_local(cpus: int | None, quiet: Mapping[str, Any]) -> None:
    """Start Ray here; it gives a node 30 s, which a busy machine may need more than once."""
    for attempts_left in reversed(range(_START_ATTEMPTS)):
        try:
            ray.init(num_cpus=cpus, include_dashboard=False, **quiet)
            return
        except Exception as error:
            ray.shutdown()
            if "timed out during startup" not in str(error):
                raise
            if not attempts_left:
                raise StageError("Ray did not start; free some of this machine's CPUs") from None


def _connect(address: str, quiet: Mapping[str, Any]) -> None:
    where, remedy = f"`address` {address}", "check `ray status`"
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdigit():
        try:  # Ray itself tries for minutes
            socket.create_connection((host, int(port)), _CONNECT_SECONDS).close()
        except OSError as error:
            problem = f"no Ray cluster answers ({error.strerror or error})"
            raise InputError(where, problem, remedy) from None
    try:
        ray.init(address=address, **quiet)
    except (ConnectionError, RuntimeError, ValueError) as error:
        first = (str(error).splitlines() or [""])[0]
        raise InputError(where, f"no Ray cluster answers ({first})", remedy) from None


@contextmanager
def _watched_node() -> Iterator[None]:
    """End the block when this process's Ray node dies, for which Ray itself would wait forever.

    The main thread is woken by a signal of our own: SIGINT is ignored in what a script starts in
    the background, and so are interrupts that stand for it.

    Raises:
        StageError: if the node died.
    """
    own_id = ray.get_runtime_context().get_node_id()
    ended, lost = threading.Event(), threading.Event()

    def watch() -> None:
        while not ended.wait(_WATCH_SECONDS):
            alive = {node["NodeID"] for node in ray.nodes() if node["Alive"]}
            if own_id not in alive and not ended.is_set():
                lost.set()
                _thread.interrupt_main(_NODE_DIED)  # again, if something swallowed the first

    previous = signal.signal(_NODE_DIED, signal.default_int_handler)
    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    except KeyboardInterrupt:
        if not lost.is_set():
            raise
        raise StageError("the Ray node of this machine died; the same command goes on") from None
    finally:
        ended.set()
        signal.signal(_NODE_DIED, previous)


def require_shared_store(store: Store) -> None:
    """Check that every node of the cluster sees the store at the same path.

    Raises:
        InputError: naming the first node that does not.
    """
    probe = ray.remote(num_cpus=0, max_retries=2)(_store_id_at)
    nodes = [node for node in ray.nodes() if node["Alive"]]
    answers = {
        node["NodeManagerHostname"] + " " + node["NodeID"][:8]: probe.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        ).remote(str(store.root))
        for node in nodes
    }
    for node, answer in answers.items():
        if ray.get(answer) != store.id:
            raise InputError(
                f"`store` {store.root}",
                f"node {node} does not see this store",
                "name a folder that all nodes share",
            )


def _store_id_at(root: str) -> str | None:
    try:
        return Store(Path(root), create=False).id
    except (InputError, OSError):
        return None


def require_resources(stages: Iterable[Stage]) -> None:
    """Check that some node can run each stage, which Ray would otherwise wait for without end.

    Raises:
        InputError: naming the stage and what it asks for.
    """
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    for name, asked in sorted({(stage.name, stage.resources) for stage in stages}, key=str):
        fits = sum(_copies(node, asked) for node in nodes)
        if fits < asked.workers:
            gpus = f" and {asked.gpus:g} GPU" if asked.gpus else ""
            many = f" on {asked.workers} workers" if asked.workers > 1 else ""
            raise InputError(
                f"resources.{name}",
                f"asks for {asked.cpus:g} CPU{gpus}{many}, which no node has",
                f"use `settings` resources.{name}.gpus=0 or the like, or another cluster",
            )


def _copies(node: Mapping[str, float], asked: Resources) -> int:
    """How many workers of these resources a node holds."""
    demands = {"CPU": asked.cpus, "GPU": asked.gpus, "memory": (asked.memory_gb or 0) * 1e9}
    return min(int(node.get(kind, 0) // need) for kind, need in demands.items() if need)


def ray_options(resources: Resources) -> dict[str, Any]:
    """The resources as options of a Ray task."""
    options: dict[str, Any] = {"num_cpus": resources.cpus, "num_gpus": resources.gpus}
    if resources.memory_gb is not None:
        options["memory"] = int(resources.memory_gb * 1e9)
    return options
