"""The one door through which errors leave the program: a line on standard error, an exit code."""

from __future__ import annotations

import errno
import os
import re
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import typer

from omnicost.errors import OmnicostError
from omnicost.plain_text import visible

DEBUG: Final = "OMNICOST_DEBUG"  # set, it shows tracebacks
INTERRUPTED: Final = 130  # 128 + SIGINT, as shells count
_WIDEST_LINE: Final = 480
_REMEDIES: Final = {
    errno.ENOSPC: "free some space or name a folder on another disk",
    errno.EDQUOT: "free some of your quota or name a folder on another disk",
    errno.EROFS: "name a folder that can be written to",
    errno.EACCES: "change its permissions or name another path",
    errno.EPERM: "change its permissions or name another path",
    errno.ENAMETOOLONG: "use a shorter name",
    errno.EISDIR: "name a file",
    errno.ENOTDIR: "a part of the path is a file; name another path",
    errno.ENOENT: "check the path, and that the working directory still exists",
    errno.EMFILE: "raise the limit on open files (ulimit -n)",
    errno.ESTALE: "mount the file system again",
}


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Whatever the block raises ends the process with one line that says what to do.

    Exit codes are 1 for anything that went wrong and 130 after Ctrl-C; a reader of the output that
    has left ends it with 1, as Typer does, and no line. Text that the terminal cannot show is
    escaped, not refused.
    """
    warnings.formatwarning = _one_line
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        _leave_quietly()
    except KeyboardInterrupt:
        _end("stopped", INTERRUPTED)
    except Exception as error:
        if os.environ.get(DEBUG):
            traceback.print_exc()
        _end(line_of(error), 1)


def _one_line(message: Warning | str, *_place_in_the_code: Any, **_: Any) -> str:
    return f"omnicost: note: {visible(' '.join(str(message).split()))}\n"


def line_of(error: Exception) -> str:
    """What went wrong, where, and the remedy, in one line."""
    if isinstance(error, OmnicostError):
        return as_options(str(error))
    if isinstance(error, MemoryError):
        return "memory: not enough of it; use a smaller input or a machine with more"
    if isinstance(error, RecursionError):
        return "input: nested too deeply; flatten it"
    if isinstance(error, ModuleNotFoundError) and not str(error.name).startswith("omnicost"):
        return f"{error.name}: this package is not installed; pip install 'omnicost[sweep]'"
    if isinstance(error, OSError) and error.errno is not None:
        where = error.filename if error.filename is not None else "a file or folder"
        remedy = _REMEDIES.get(error.errno, "check the file system, then run the command again")
        return f"{where}: {os.strerror(error.errno)}; {remedy}"
    text = (str(error).strip().splitlines() or [""])[0]
    fault = f"{type(error).__name__}: {text}".rstrip(": ")
    return f"a fault of omnicost itself ({fault}); report it with what {DEBUG}=1 prints"


# Parameters whose options are called otherwise.
_OPTIONS: Final = {
    "label": "--type",
    "settings": "--set",
    "seconds": "--seconds-column",
    "setup_hours": "--setup",
}
_PARAMETER: Final = re.compile(r"`([a-z][a-z0-9_]*)`")


def as_options(text: str) -> str:
    """Parameters as the library's errors name them, `max_hours`, as options: --max-hours."""

    def option(found: re.Match[str]) -> str:
        return _OPTIONS.get(found[1]) or "--" + found[1].replace("_", "-")

    return _PARAMETER.sub(option, text)


def _end(line: str, code: int) -> None:
    shown = visible(" ".join(line.split()))
    if len(shown) > _WIDEST_LINE:
        half = _WIDEST_LINE // 2
        shown = f"{shown[:half]} ... {shown[-half:]}"
    typer.echo(f"omnicost: {shown}", err=True)
    sys.exit(code)


def _leave_quietly() -> None:
    """End when nobody reads the output any more; Python would complain as it flushes at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(1)
