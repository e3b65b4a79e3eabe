"""Every fault leaves the program as one line with a remedy, never as a traceback."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from places import ROOT

from omnicost.cli.shared.door import line_of, one_line_errors
from omnicost.errors import InputError

COST = ("cost", "--dataset", "coco")


def omnicost(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "omnicost", *arguments]
    return subprocess.run(command, text=True, stderr=subprocess.PIPE, check=False, **options)


def test_a_full_disk_under_the_output_is_one_line() -> None:
    """Output that cannot be written says so and what to do."""
    with open("/dev/full", "w") as full:
        done = omnicost(*COST, stdout=full)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "No space left on device; free some space" in done.stderr


def test_a_reader_that_leaves_is_no_fault() -> None:
    """`omnicost ... | head` ends without a line once head has what it wants."""
    reading, writing = os.pipe()
    os.close(reading)
    done = omnicost(*COST, stdout=writing)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("n" * 5_000, "File name too long"),
        ("/proc/none/times.yaml", "No such file"),
        ("/dev/null/times.yaml", "Not a directory"),
    ],
)
def test_paths_that_cannot_be_written(path: str, problem: str, tmp_path: Path) -> None:
    """The line names the path, shortened, the problem and the remedy."""
    log = tmp_path / "log.csv"
    log.write_text("type,seconds\n" + "box,3\nbox,4\n" * 20)
    done = omnicost("calibrate", str(log), "--out", path, stdout=subprocess.DEVNULL)
    assert done.returncode == 1
    assert done.stderr.startswith("omnicost: ")
    assert done.stderr.count("\n") == 1, done.stderr
    assert problem in done.stderr
    assert len(done.stderr) < 520


def test_a_working_directory_that_is_gone(tmp_path: Path) -> None:
    """A shell whose folder was deleted gets one line, or its answer."""
    gone = tmp_path / "gone"
    gone.mkdir()
    code = (
        f"import os; os.chdir({str(gone)!r}); os.rmdir({str(gone)!r});"
        "from omnicost.cli import main; main()"
    )
    command = [sys.executable, "-c", code, "cost", "--annotations", "instances.json"]
    done = subprocess.run(
        command,
        text=True,
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1, done.stderr


def test_ctrl_c_is_exit_code_130() -> None:
    """An interrupted command says nothing but ends with the code that shells expect."""
    listening = (  # what a script starts in the background ignores it otherwise
        "import signal, time; from omnicost.cli.shared.door import one_line_errors\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    )
    code = listening + "with one_line_errors():\n    print('ready', flush=True)\n    time.sleep(60)"
    running = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert running.stdout is not None
    running.stdout.readline()
    time.sleep(0.1)
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=30)
    assert (running.returncode, errors) == (130, "omnicost: stopped\n")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (InputError("a.yaml", "is empty", "fill it"), "a.yaml: is empty; fill it"),
        (MemoryError(), "memory: not enough of it; use a smaller input or a machine with more"),
        (RecursionError("maximum"), "input: nested too deeply; flatten it"),
        (
            OSError(errno.EROFS, "x", "out/plan.csv"),
            "out/plan.csv: Read-only file system; name a folder that can be written to",
        ),
        (
            KeyError("box"),
            "a fault of omnicost itself (KeyError: 'box'); report it with what OMNICOST_DEBUG=1 "
            "prints",
        ),
    ],
)
def test_what_each_fault_says(error: Exception, line: str) -> None:
    """Deliberate errors speak for themselves; others get their remedy here."""
    assert line_of(error) == line


def test_names_that_no_terminal_can_show(capfd: pytest.CaptureFixture[str]) -> None:
    """A lone surrogate in a name is escaped, not a second fault."""
    with pytest.raises(SystemExit), one_line_errors():
        raise InputError("photo \udce9.jpg", "is damaged", "remove it")
    assert "is damaged; remove it" in capfd.readouterr().err
