"""Disks, signals, clocks, memory and other machines fail at random moments, twenty times in a row.

What each scenario does and must find is in `fault_driver.py`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from places import DRIVERS

DRIVER = DRIVERS / "fault_driver.py"
ROUNDS = 20
NEED_MOUNT = ("full", "read_only")
NAMES = (
    "killed", "terminated", "collected", "planned", "full", "read_only", "starved", "shared",
    "jumping",
)  # fmt: skip
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="signals, /proc and tmpfs")


def _own_mounts() -> list[str]:
    """The command that gives a process mounts of its own; empty where that is not allowed."""
    command = ["unshare", "--user", "--map-root-user", "--mount"]
    try:
        subprocess.run([*command, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return []
    return command


def run(scenario: str, folder: Path, rounds: int) -> dict[str, int]:
    """How many rounds came to what."""
    command = [sys.executable, str(DRIVER), scenario, str(folder), str(rounds)]
    if scenario in NEED_MOUNT:
        own = _own_mounts()
        if not own:
            pytest.skip("no mounts of one's own here")
        command = [*own, *command]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("scenario", ["killed", "full", "starved"])
def test_faults_once_or_twice(scenario: str, tmp_path: Path) -> None:
    """Two rounds of those that find the most."""
    assert run(scenario, tmp_path, 2)["right"] == 2


@pytest.mark.slow
@pytest.mark.parametrize("scenario", NAMES)
def test_faults_twenty_times(scenario: str, tmp_path: Path) -> None:
    """Nothing lost, nothing half, one line each, twenty times in a row."""
    counts = run(scenario, tmp_path, ROUNDS)
    print(scenario, counts)
    assert counts["right"] == ROUNDS
