"""Leases: one owner a stage, over processes and hosts, that survive a killed owner.

A lock file names the owner; its heartbeat is a file of its own, rewritten every few seconds with
the owner's progress. An owner on this host is dead when its process is; one elsewhere when its
heartbeat has stood still for `LEASE_SECONDS` of the observer's own clock, so clocks need not
agree. Lock files change only under an `flock` that the kernel drops when its holder dies.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, TypeVar

from omnicost.files import write_json

T = TypeVar("T")
LEASE_SECONDS: Final = 60.0
BEAT_SECONDS: Final = 2.0


@dataclass(frozen=True)
class Owner:
    """Who holds a lock."""

    owner: str
    host: str
    process: str
    pid: int
    since: float  # seconds since the epoch, of the owner's clock


@dataclass(frozen=True)
class Beat:
    """An owner's last sign of life; by its defaults none yet."""

    count: int = -1
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    done: int = 0
    total: int = 0
    figures: dict[str, Any] = field(default_factory=dict)


@lru_cache(maxsize=1)
def host_identity() -> str:
    """Names the running kernel and process namespace, within which process ids mean something."""
    parts = [socket.gethostname()]
    with suppress(OSError):  # not Linux
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
    with suppress(OSError):
        parts.append(os.readlink("/proc/self/ns/pid"))
    return "/".join(parts)


def process_identity(pid: int) -> str | None:
    """Tells a process from a later one with the same id; None if there is none.

    A zombie counts as gone: it computes nothing any more.
    """
    with suppress(OSError):
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if after_name[0] in "ZX" else f"{pid}@{after_name[19]}"
    if Path("/proc/self/stat").exists():
        return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return str(pid)


class Locks:
    """The locks of one folder; one object a process remembers heartbeats it has seen."""

    def __init__(self, folder: Path, lease_seconds: float = LEASE_SECONDS) -> None:
        self.folder = folder
        self.lease_seconds = lease_seconds
        self._seen: dict[str, tuple[int, float]] = {}

    def try_acquire(self, name: str) -> Lease | None:
        """A lease on the name, or None while a living owner holds it."""
        with self._guard():
            holder = self.holder(name)
            if holder is not None and self.is_alive(holder):
                return None
            lost = None
            if holder is not None:
                lost = self.beat(holder)
                self._beat_path(holder.owner).unlink(missing_ok=True)
            pid = os.getpid()
            process = process_identity(pid) or str(pid)
            owner = Owner(uuid.uuid4().hex, host_identity(), process, pid, time.time())
            lease = Lease(self, name, owner, lost)
            write_json(self._lock_path(name), asdict(owner))
            return lease

    def release(self, lease: Lease) -> None:
        """Give the lease up, unless somebody has taken it over."""
        with self._guard():
            if self.holder(lease.name) == lease.owner:
                self._lock_path(lease.name).unlink(missing_ok=True)
        self._beat_path(lease.owner.owner).unlink(missing_ok=True)

    def drop(self, name: str) -> None:
        """Remove a lock, unless a living owner holds it by now."""
        with self._guard():
            if not self.is_held(name):
                self._lock_path(name).unlink(missing_ok=True)

    def is_held(self, name: str) -> bool:
        """Whether a living owner holds the lock."""
        holder = self.holder(name)
        return holder is not None and self.is_alive(holder)

    def holder(self, name: str) -> Owner | None:
        """Who holds the lock, dead or alive."""
        return _read(Owner, self._lock_path(name))

    def held(self) -> Iterator[tuple[str, Owner]]:
        """Every lock with its owner, dead or alive."""
        for path in sorted(self.folder.glob("*.lock")):
            if (owner := self.holder(path.stem)) is not None:
                yield path.stem, owner

    def beat(self, owner: Owner) -> Beat:
        """The owner's last heartbeat."""
        return _read(Beat, self._beat_path(owner.owner)) or Beat()

    def is_alive(self, owner: Owner) -> bool:
        """Whether the owner still works; sure at once on this host, elsewhere after a lease."""
        if owner.host == host_identity():
            return process_identity(owner.pid) == owner.process
        count, now = self.beat(owner).count, time.monotonic()
        seen_count, seen_at = self._seen.get(owner.owner, (None, now))
        if count != seen_count:
            self._seen[owner.owner] = (count, now)
            return True
        return now - seen_at < self.lease_seconds

    def settle(self) -> None:
        """Wait a lease where an owner is of another host, or of before a reboot.

        At first sight each of them counts as alive; then only those are that went on beating.
        """
        if any(o.host != host_identity() and self.is_alive(o) for _, o in self.held()):
            time.sleep(self.lease_seconds)

    def _lock_path(self, name: str) -> Path:
        return self.folder / f"{name}.lock"

    def _beat_path(self, owner: str) -> Path:
        return self.folder / f"{owner}.beat"

    @contextmanager
    def _guard(self) -> Iterator[None]:
        with (self.folder / ".guard").open("a") as guard:
            fcntl.flock(guard, fcntl.LOCK_EX)
            yield


class Lease:
    """A held lock with its heartbeat; use it as a context manager.

    Args:
        lost: the last heartbeat of a dead owner that this lease was taken over from.

    `share` is the part of this process's time that the stage has to answer for, below 1 where
    several stages are computed in one pass.
    """

    def __init__(self, locks: Locks, name: str, owner: Owner, lost: Beat | None) -> None:
        self.name = name
        self.owner = owner
        self.lost = lost
        self.share = 1.0
        self._locks = locks
        self._progress: tuple[int, int, dict[str, Any]] = (0, 0, {})
        self._started = (time.perf_counter(), time.process_time())
        self._stop = threading.Event()
        self._count = 0
        self._thread = threading.Thread(target=self._keep_beating, daemon=True)

    def __enter__(self) -> Lease:
        try:
            self._beat()
        except OSError:  # a full disk: who keeps the lock would wait for itself
            self._locks.release(self)
            raise
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join()
        self._locks.release(self)

    def report(self, done: int, total: int, figures: Mapping[str, Any]) -> None:
        """Progress to publish with the next heartbeat."""
        self._progress = (done, total, dict(figures))

    def is_held(self) -> bool:
        """Whether nobody has taken the lock over."""
        return self._locks.holder(self.name) == self.owner

    @property
    def seconds(self) -> tuple[float, float]:
        """Wall and process CPU seconds since the lease was taken, by the stage's share."""
        wall, cpu = self._started
        return (
            self.share * (time.perf_counter() - wall),
            self.share * (time.process_time() - cpu),
        )

    def _keep_beating(self) -> None:
        while not self._stop.wait(BEAT_SECONDS):
            with suppress(OSError):  # a full disk must not silence the heart for good
                self._beat()

    def _beat(self) -> None:
        self._count += 1
        wall, cpu = self.seconds
        done, total, figures = self._progress
        beat = Beat(self._count, wall, cpu, done, total, figures)
        write_json(self._locks._beat_path(self.owner.owner), asdict(beat))


def _read(kind: type[T], path: Path) -> T | None:
    """What a file holds; None if it is not there, or is garbage, which no owner writes."""
    try:
        return kind(**json.loads(path.read_bytes()))
    except (FileNotFoundError, ValueError, TypeError):
        return None
