"""Connecting to Ray, quietly, and refusing clusters that cannot compute the stages."""

from __future__ import annotations

import _thread
import contextlib
import logging
import os
import secrets
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import ray
from ray._private import ray_constants
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from omnicost.engine.graph import Stage, TargetPlan
from omnicost.engine.resources import Resources
from omnicost.engine.store import Store
from omnicost.errors import InputError, StageError

_WATCH_SECONDS: Final = 2.0
_NODE_DIED: Final = getattr(signal, "SIGUSR2", signal.SIGINT)  # Tune listens to SIGUSR1
_START_ATTEMPTS: Final = 4
_CONNECT_SECONDS: Final = 10.0
_TOKEN: Final = secrets.token_hex(32)  # of every local Ray of this process, which caches it
_PRIVATE: Final = "omnicost-"
_QUIET: Final = {"log_to_driver": False, "logging_level": logging.ERROR}
_WAY: Final = "short-way"  # names the private folder that has a link to Ray's own


@contextmanager
def ray_session(
    folder: Path, address: str | None = None, cpus: int | None = None
) -> Iterator[None]:
    """A connection to Ray: to the cluster at `address`, or a local one that ends with the block.

    A local Ray listens on the loopback interface only, to those who have this process's token, and
    keeps its files in `folder`. An existing connection of this process is used as it is.

    Raises:
        InputError: if there is no cluster at the address.
    """
    if ray.is_initialized():
        yield
        return
    logging.getLogger("ray").setLevel(logging.ERROR)
    with contextlib.ExitStack() as ended:
        if address is None:
            files = ended.enter_context(_short_way_to(folder))
            ended.callback(ray.shutdown)
            _start_local(files, cpus)
        else:
            ended.callback(ray.shutdown)
            _connect(address)
        with _watched_node():
            yield


@contextmanager
def _short_way_to(folder: Path) -> Iterator[Path]:
    """A path to the folder in which Ray's sockets stay under the 107 bytes that Linux allows them.

    Their paths are 65 longer than the folder's. Where the folder's file system takes no sockets,
    a private folder of this machine in its place.
    """
    with tempfile.TemporaryDirectory(prefix=_PRIVATE, ignore_cleanup_errors=True) as private:
        (folder / _WAY).write_text(private)  # for who cleans up, should this process be killed
        short = Path(private) / "ray"
        short.symlink_to(folder, target_is_directory=True)
        if not _takes_sockets(short):
            short.unlink()
            short.mkdir()
        yield short


def _takes_sockets(folder: Path) -> bool:
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.bind(str(folder / "probe"))
        (folder / "probe").unlink()
    except OSError:
        return False
    return True


def remove_ray_folder(folder: Path) -> None:
    """Remove what a local Ray left in a folder, and the short way to it."""
    with contextlib.suppress(OSError):
        way = Path((folder / _WAY).read_text())
        if way.name.startswith(_PRIVATE) and way.parent == Path(tempfile.gettempdir()):
            shutil.rmtree(way, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _kept_to_ourselves() -> Iterator[None]:
    """Have a local Ray that starts within listen on loopback only, to those who have our token."""
    os.environ.pop("RAY_AUTH_MODE", None)  # Ray then turns tokens on by itself
    os.environ["RAY_AUTH_TOKEN"] = _TOKEN  # else it writes one into ~/.ray
    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False  # else it replaces loopback by an outer address
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


def _start_local(files: Path, cpus: int | None) -> None:
    """Start Ray here; it gives a node 30 s, which a busy machine may need more than once."""
    where: dict[str, Any] = {"_node_ip_address": "127.0.0.1", "_temp_dir": str(files), **_QUIET}
    for attempts_left in reversed(range(_START_ATTEMPTS)):
        try:
            with _kept_to_ourselves():
                ray.init(num_cpus=cpus, include_dashboard=False, **where)
            return
        except Exception as error:
            ray.shutdown()
            if "timed out during startup" not in str(error):
                raise
            if not attempts_left:
                raise StageError("Ray did not start; free some of this machine's CPUs") from None


def _connect(address: str) -> None:
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    try:
        if colon and port.isdigit():  # Ray itself tries for minutes
            socket.create_connection((host, int(port)), _CONNECT_SECONDS).close()
        ray.init(address=address, **_QUIET)
    except (OSError, OverflowError, RuntimeError, ValueError) as error:
        told = getattr(error, "strerror", None) or str(error).partition("\n")[0]
        problem = f"no Ray cluster answers ({told})"
        raise InputError(f"`address` {address}", problem, "check `ray status`") from None


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
            alive = {node["NodeID"] for node in _living_nodes()}
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
    answers = {
        node["NodeManagerHostname"] + " " + node["NodeID"][:8]: probe.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        ).remote(str(store.root))
        for node in _living_nodes()
    }
    for node, answer in answers.items():
        if ray.get(answer) != store.id:
            problem = f"node {node} does not see this store"
            raise InputError(f"`store` {store.root}", problem, "name a folder that all nodes share")


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
    nodes = _living_nodes()
    for name, asked in sorted({(stage.name, stage.resources) for stage in stages}, key=str):
        if _workers(nodes, asked) < asked.workers:
            gpus = f" and {asked.gpus:g} GPU" if asked.gpus else ""
            many = f" on {asked.workers} workers" if asked.workers > 1 else ""
            problem = f"asks for {asked.cpus:g} CPU{gpus}{many}, which no node has"
            remedy = f"use `settings` resources.{name}.gpus=0 or the like, or another cluster"
            raise InputError(f"resources.{name}", problem, remedy)


def room_for(plans: Iterable[TargetPlan]) -> int:
    """How many targets the cluster's devices hold at once, each with its trial's most; 1 or more.

    Stages that other targets share are beside them, so that a device may wait for its turn.
    """
    nodes = _living_nodes()
    asked = {stage.resources for plan in plans for stage in plan.own_stages}
    return max(1, min((_workers(nodes, each) // each.workers for each in asked), default=1))


def _workers(nodes: list[dict[str, Any]], asked: Resources) -> int:
    """How many workers of these resources the nodes hold."""
    needs = demands(asked).items()
    return sum(
        min(int(node["Resources"].get(kind, 0) // need) for kind, need in needs) for node in nodes
    )


def _living_nodes() -> list[dict[str, Any]]:
    return [node for node in ray.nodes() if node["Alive"]]


def demands(asked: Resources) -> dict[str, float]:
    """What one worker is given, by Ray's names; what it does not ask for is left out."""
    named = {"CPU": asked.cpus, "GPU": asked.gpus, "memory": (asked.memory_gb or 0.0) * 1e9}
    return {kind: need for kind, need in named.items() if need}
