"""Runs the command line on one damaged input and says what came of it."""

from __future__ import annotations

import contextlib
import hashlib
import io
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

LONGEST_SECONDS = 60
REFUSED, TOLD, RIGHT = "refused", "told", "right"


class Case(NamedTuple):
    """One damaged input.

    `make` writes it into an empty folder and returns the command line; `must` is what it must get:
    refused (one line, exit code not 0), told (the text is shown, whatever the exit code), right
    (exit code 0), or empty where either will do; `text` must stand in what is printed.
    """

    kind: str
    name: str
    make: Callable[[Path], list[str]]
    must: str
    text: str = ""
    removes: bool = False  # files go because that is what the command is for


class Outcome(NamedTuple):
    """What came of it; `fault` is empty where it is as it must be."""

    what: str  # refused, told, right, silent, traceback, hang, lost
    fault: str


def run(case: Case, folder: Path) -> Outcome:
    """Make the input, run the command, compare."""
    arguments = case.make(folder)
    before = _digests(folder)
    try:
        with _limited():
            code, printed, errors = command(arguments)
    except TimeoutError:
        return Outcome("hang", f"not done after {LONGEST_SECONDS} s")
    lost = (
        []
        if case.removes
        else [name for name, digest in before.items() if _digests(folder).get(name) != digest]
    )
    told = " ".join((printed + errors).split())
    if lost:
        return Outcome("lost", f"{lost[0]} is not what it was")
    if "Traceback" in errors or "a fault of omnicost itself" in errors:
        return Outcome("traceback", errors.strip()[-300:])
    if case.must == REFUSED and (code == 0 or len(errors.strip().splitlines()) != 1):
        return Outcome("silent", f"exit code {code}: {told[-300:]}")
    if case.text not in told:
        return Outcome("silent", f"{case.text!r} is not in {told[-400:]!r}")
    if case.must == RIGHT and code != 0:
        return Outcome("silent", f"exit code {code}: {told[-300:]}")
    return Outcome(case.must or (RIGHT if code == 0 else REFUSED), "")


def command(arguments: list[str]) -> tuple[int, str, str]:
    """Exit code, standard output, standard error of the command line, run in this process."""
    from omnicost.cli import app
    from omnicost.cli.shared.door import line_of

    out, errors, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        try:
            app(arguments, standalone_mode=True)
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 1
        except TimeoutError:
            raise
        except Exception as error:
            errors.write(f"omnicost: {line_of(error)}\n")
            code = 1
    return code, out.getvalue(), errors.getvalue()


def _digests(folder: Path) -> dict[str, str]:
    """What regular files hold, by name: links and FIFOs aside."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


@contextlib.contextmanager
def _limited() -> Iterator[None]:
    def end(number: int, frame: Any) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(LONGEST_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def parametrised(cases: list[Case]) -> pytest.MarkDecorator:
    """A test for each case, by its kind and name."""
    ids = [f"{case.kind}: {case.name}" for case in cases]
    return pytest.mark.parametrize("case", cases, ids=ids)
