"""The store: one folder of finished artefacts, named by what they are made from.

```
store.json             marks the folder and gives it an id
artefacts/ab/<key>/    manifest.json + the stage's files; appears whole, by one rename
building/<key>.<id>/   an artefact being written
work/<key>/            a stage's scratch (checkpoints), kept over restarts until it is done
locks/                 who computes what, with heartbeats
logs/<key>.log         what a stage printed, every attempt
data/                  converted annotations and drawn data sets
executions/<key>.jsonl every start and end of a stage
ray/                   what Ray writes while a sweep runs
```
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from omnicost.engine.lease import LEASE_SECONDS, Locks
from omnicost.engine.manifest import StageManifest, StoredFile
from omnicost.errors import InputError, StageError
from omnicost.files import file_digest, flush, write_json

STORE_VERSION: Final = 2
MANIFEST: Final = "manifest.json"
_REMEDY: Final = "run `omnicost store verify --delete`"
_KEY: Final = re.compile("[0-9a-f]{64}")
_READ_BYTES: Final = 1 << 30  # of an artefact whose bytes are compared whenever it is read
_FOLDERS: Final = ("artefacts", "building", "work", "locks", "logs", "executions", "data")


class Execution(NamedTuple):
    """One line of a stage's record."""

    # start, done, failed, exhausted (no memory), lost (its process died), discarded (another was
    # first)
    event: str
    time: float
    host: str
    pid: int
    wall_seconds: float
    cpu_seconds: float


class Store:
    """Finished artefacts by key, and what it takes to add one."""

    def __init__(
        self, root: Path, *, create: bool = True, lease_seconds: float = LEASE_SECONDS
    ) -> None:
        self.root = Path(root).absolute()
        self.id = self._open_marker(create)
        for folder in _FOLDERS:
            (self.root / folder).mkdir(exist_ok=True)
        self.data = self.root / "data"  # for converted annotations and drawn data sets
        self.locks = Locks(self.root / "locks", lease_seconds)

    def _open_marker(self, create: bool) -> str:
        marker = self.root / "store.json"
        if not marker.exists():
            if not create:
                raise InputError(self.root, "is not a store", "name a folder made by a sweep")
            present = self.root.iterdir() if self.root.is_dir() else ()
            # `.store.*` is of another process that is creating the store.
            foreign = any(not path.name.startswith((".store.", "..store.")) for path in present)
            if foreign and not marker.exists():  # another process may just have made it
                raise InputError(self.root, "holds other files", "name a new or empty folder")
            self.root.mkdir(parents=True, exist_ok=True)
            _create_marker(marker)
        try:
            payload = json.loads(marker.read_text())
            version, identity = payload["version"], str(payload["id"])
        except (ValueError, KeyError, TypeError):
            raise InputError(marker, "is not a store's marker", "name another folder") from None
        if version != STORE_VERSION:
            problem = f"version {version!r} was made by another omnicost"
            raise InputError(marker, problem, "name another folder with `store`")
        return identity

    # Reading ------------------------------------------------------------------------------------

    def path(self, key: str) -> Path:
        """Folder of the artefact, whether it is there or not."""
        return self.root / "artefacts" / key[:2] / key

    def has(self, key: str) -> bool:
        """Whether the artefact is there; if it is, it is whole."""
        return (self.path(key) / MANIFEST).is_file()

    def keys(self) -> Iterator[str]:
        """Keys of all artefacts, sorted; what else lies among them is left alone."""
        for manifest in sorted(self.root.glob(f"artefacts/*/*/{MANIFEST}")):
            key = manifest.parent.name
            if _KEY.fullmatch(key) and manifest.parent == self.path(key):
                yield key

    def manifest(self, key: str) -> StageManifest:
        """The artefact's manifest.

        Raises:
            InputError: if there is no such artefact or its manifest cannot be read.
        """
        path = self.path(key) / MANIFEST
        try:
            found = StageManifest.model_validate_json(path.read_bytes())
            if found.key != key:
                raise ValueError("of another artefact")
            return found
        except FileNotFoundError:
            raise InputError(self.root, f"no artefact {key[:12]}", "run the sweep") from None
        except (OSError, ValueError):
            raise InputError(path, "is damaged", _REMEDY) from None

    def manifests(self) -> Iterator[StageManifest]:
        """Manifests of all artefacts that have a readable one, in the order of their keys."""
        for key in self.keys():
            with contextlib.suppress(InputError):  # `faults` tells
                yield self.manifest(key)

    def read(self, key: str, name: str) -> bytes:
        """A small file of an artefact, as it was when it was published.

        Raises:
            InputError: if there is no such file or its bytes changed.
        """
        path, stored = self.path(key) / name, self.manifest(key).files.get(name)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise InputError(path, f"cannot be read ({error.strerror})", _REMEDY) from None
        if stored is None or hashlib.sha256(content).hexdigest() != stored.sha256:
            raise InputError(path, "is not what its stage wrote", _REMEDY)
        return content

    def require_whole(self, key: str) -> None:
        """Check an artefact that is about to be read: names and sizes, and bytes up to 1 GB in all.

        Raises:
            InputError: naming what is wrong with it.
        """
        manifest = self.manifest(key)
        faults = self._changed(manifest, is_read=manifest.size_bytes <= _READ_BYTES)
        if faults:
            raise InputError(self.path(key), f"is damaged ({faults[0]})", _REMEDY)

    def find(self, prefix: str) -> str:
        """The one key that starts with the prefix.

        Raises:
            InputError: if none or several do.
        """
        found = [key for key in self.keys() if key.startswith(prefix)]
        if len(found) != 1:
            problem = f"{len(found)} artefacts start with {prefix!r}"
            raise InputError(self.root, problem, "see omnicost store ls")
        return found[0]

    # Writing ------------------------------------------------------------------------------------

    def work(self, key: str) -> Path:
        """The stage's scratch folder, kept until it is done."""
        folder = self.root / "work" / key
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def log(self, key: str) -> Path:
        """The stage's log file."""
        return self.root / "logs" / f"{key}.log"

    def building(self, key: str) -> Path:
        """A new folder to write the artefact's files into, for `publish`."""
        folder = self.root / "building" / f"{key}.{uuid.uuid4().hex[:12]}"
        folder.mkdir()
        return folder

    def publish(self, building: Path, manifest: StageManifest) -> bool:
        """Make an artefact visible, whole, by one rename; False if it was there already.

        `manifest.files` is filled in here, and everything is flushed to disk before the rename.
        """
        files = _files(building)
        stored = {
            name: StoredFile(size_bytes=path.stat().st_size, sha256=file_digest(path))
            for name, path in files.items()
        }
        complete = manifest.model_copy(update={"files": stored})
        (building / MANIFEST).write_text(complete.model_dump_json(indent=1))
        for path in (*files.values(), building / MANIFEST, building):
            flush(path)
        target = self.path(manifest.key)
        target.parent.mkdir(exist_ok=True)
        try:
            building.rename(target)
        except OSError:
            if not self.has(manifest.key):
                raise
            shutil.rmtree(building)
            return False
        flush(target.parent)
        return True

    def record(
        self, key: str, event: str, wall_seconds: float = 0.0, cpu_seconds: float = 0.0
    ) -> None:
        """Add a line to the stage's record, in one write."""
        host, pid = os.uname().nodename, os.getpid()
        line = Execution(event, time.time(), host, pid, wall_seconds, cpu_seconds)
        path = self.root / "executions" / f"{key}.jsonl"
        with path.open("ab", buffering=0) as file:
            file.write((json.dumps(line._asdict()) + "\n").encode())

    def executions(self, key: str) -> tuple[Execution, ...]:
        """The stage's record, oldest first."""
        path = self.root / "executions" / f"{key}.jsonl"
        if not path.exists():
            return ()
        found = []
        for line in path.read_text(errors="replace").splitlines():
            with contextlib.suppress(ValueError, TypeError):  # its writer was stopped in the middle
                found.append(Execution(**json.loads(line)))
        return tuple(found)

    # Housekeeping -------------------------------------------------------------------------------

    def faults(self, key: str) -> tuple[str, ...]:
        """What is wrong with an artefact's files, read in full; empty if nothing is."""
        try:
            manifest = self.manifest(key)
        except InputError as error:
            return (str(error),)
        listed = {MANIFEST, *manifest.files}
        foreign = [name for name in _files(self.path(key)) if name not in listed]
        changed = self._changed(manifest, is_read=True)
        return (*(f"{name}: not in the manifest" for name in foreign), *changed)

    def _changed(self, manifest: StageManifest, is_read: bool) -> tuple[str, ...]:
        """What the manifest lists and is missing or, by size or bytes, another file."""
        present, found = _files(self.path(manifest.key)), []
        for name, stored in sorted(manifest.files.items()):
            path = present.get(name)
            if path is None:
                found.append(f"{name}: missing")
            elif path.stat().st_size != stored.size_bytes or (
                is_read and file_digest(path) != stored.sha256
            ):
                found.append(f"{name}: its bytes changed")
        return tuple(found)

    def delete(self, key: str) -> None:
        """Remove an artefact: first from sight by one rename, then from disk.

        Raises:
            StageError: while somebody computes the same stage.
        """
        lease = self.locks.try_acquire(key)
        if lease is None:
            raise StageError(f"{key[:12]} is being computed; try again later")
        with lease:
            aside = self.root / "building" / f"{key}.{uuid.uuid4().hex[:12]}"
            with contextlib.suppress(FileNotFoundError):  # somebody else was faster
                self.path(key).rename(aside)
                shutil.rmtree(aside)

    def leftovers(self) -> Iterator[Path]:
        """Scratch that no living owner needs: dead locks, abandoned folders, finished work.

        A dead owner's `work` folder is not among them: the next owner resumes from it.
        """
        living: set[str] = set()
        for name, owner in self.locks.held():
            if self.locks.is_alive(owner):
                living |= {name, owner.owner}
        for pattern in ("building/*", "ray/*", "work/*", "locks/*.lock", "locks/*.beat"):
            for path in sorted(self.root.glob(pattern)):
                may_be_resumed = pattern == "work/*" and not self.has(path.name)
                if path.stem not in living and not may_be_resumed:
                    yield path


def _create_marker(marker: Path) -> None:
    """Write the marker unless another process does so first."""
    beside = marker.with_name(f".store.{uuid.uuid4().hex}")
    write_json(beside, {"version": STORE_VERSION, "id": uuid.uuid4().hex})
    try:
        os.link(beside, marker)
    except FileExistsError:
        pass
    finally:
        beside.unlink()


def _files(folder: Path) -> dict[str, Path]:
    """Every file of a folder by its place in it, sorted by that."""
    found = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    return dict(sorted(found.items()))
