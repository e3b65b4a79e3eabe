"""Files read and written whole: nothing half-written is seen, nothing of the user's is lost."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import stat
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from omnicost.errors import InputError

MARK: Final = "written by omnicost"  # goes into every file that has room for it
# How sets imported by 0.3 and before begin: they bear the mark, but the labels are people's.
_PEOPLES: Final = b'{"info":{"description":"written by omnicost"},"images":'
_ENDS_BYTES: Final = 4096  # how far from either end of a file the mark is looked for


def read_bytes(path: Path | str) -> bytes:
    """The bytes of a regular file: a FIFO, which would wait without end, or a device is refused.

    Raises:
        InputError: if it cannot be read.
    """
    try:
        require_regular(path)
        return Path(path).read_bytes()
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror})", "check the path") from None
    except ValueError as error:  # a NUL in the name
        raise InputError(repr(str(path)), f"cannot be read ({error})", "check the path") from None


def require_regular(path: Path | str) -> None:
    """Refuse what is neither a file nor a folder.

    Raises:
        InputError: for a FIFO, a socket or a device.
        OSError: if there is nothing.
    """
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise InputError(path, "is a FIFO, a socket or a device", "name a regular file")


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, as 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def flush(path: Path) -> None:
    """Have a file or a folder's list of names on the disk, whatever happens to the machine."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to that becomes `path` when the block ends well.

    A link stays, and what it points to is replaced.

    Raises:
        OSError: if it cannot be written, also where `path` is no regular file.
    """
    path = Path(os.path.realpath(path))
    if path.exists() and not path.is_file():
        raise OSError(0, "not a regular file", str(path))
    part = path.with_name(f".{path.name[:100]}.{uuid.uuid4().hex}")  # no glob of ours finds it
    try:
        yield part
        flush(part)
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Write a text file that appears whole or not at all.

    Raises:
        OSError: if it cannot be written.
    """
    with whole_file(path) as part:
        part.write_text(text, encoding="utf-8")


def write_json(path: Path, payload: Any) -> None:
    """Write plain data as JSON, as `write_text` does."""
    write_text(path, json.dumps(payload))


def write_folder(folder: Path, write: Callable[[Path], None]) -> None:
    """Have `write` fill a scratch folder beside `folder`, then rename it into place.

    When another process was faster its folder stays and ours is dropped: both hold the same.

    Raises:
        InputError: if it cannot be written.
    """
    hidden = f".{folder.name[:100]}."
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            prefix=hidden, dir=folder.parent, ignore_cleanup_errors=True
        ) as scratch:
            write(Path(scratch))
            os.chmod(scratch, 0o755)  # its own 0700 would hide a shared cache from colleagues
            os.rename(scratch, folder)
    except OSError as fault:
        if not folder.is_dir():
            raise _unwritable(folder, fault) from None


@contextlib.contextmanager
def output_file(path: Path) -> Iterator[Path]:
    """`whole_file` for what a person named: missing folders are made, errors are one line.

    Raises:
        InputError: if it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as part:
            yield part
    except FileExistsError:  # what mkdir says of a file in a folder's place
        raise _unwritable(path, NotADirectoryError(errno.ENOTDIR, "Not a directory")) from None
    except OSError as fault:
        raise _unwritable(path, fault) from None


def _unwritable(path: Path, fault: OSError) -> InputError:
    remedy = "name a place with room that you may write to"
    return InputError(path, f"cannot be written ({fault.strerror})", remedy)


def refuse_to_replace(
    out: Path, *, inputs: Iterable[Path | None] = (), force: bool = False, head: str = ""
) -> None:
    """Refuse an output that would replace an input of the same command, or somebody's file.

    Args:
        out: what is about to be written; a folder is judged by its files, one call each.
        inputs: what the command reads.
        force: replace it all the same.
        head: how the files of this form begin, where they have no room for `MARK`.

    Raises:
        InputError: naming the file, unless `force`.
    """
    if force or not out.exists():
        return
    for given in inputs:
        if given is not None and given.exists() and given.samefile(out):
            raise InputError(out, "is an input of this command", "name another file, or `force`")
    if out.is_file() and not is_ours(out, head):
        problem = "exists and was not written by omnicost"
        raise InputError(out, problem, "name another file, or `force`")


def is_ours(path: Path, head: str) -> bool:
    """Whether a file is empty, bears the mark near an end, or begins as our files do."""
    try:
        with path.open("rb") as file:
            start = file.read(_ENDS_BYTES)
            file.seek(max(0, path.stat().st_size - _ENDS_BYTES))
            end = file.read()
    except OSError:
        return False
    if start.startswith(_PEOPLES):
        return False
    marked = MARK.encode() in start or MARK.encode() in end
    return not start or marked or bool(head and start.startswith(head.encode()))
