"""`omnicost train` killed at random moments: the same command ends in the same folder."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from given_sets import write_given

from omnicost.annotation import Policy
from omnicost.data import open_dataset
from omnicost.data.tiny.disk import write_coco
from omnicost.data.tiny.world import SPECS

SETTINGS = (
    "recipe.teacher.steps=20",
    "recipe.teacher.late_step=15",
    "recipe.teacher.points=64",
    "recipe.teacher.checkpoint_every=5",
    "recipe.student.schedule.steps=30",
    "recipe.student.checkpoint_every=5",
    "recipe.pseudomask.part_images=4",
)
KILLS = 4


def started(root: Path, name: str) -> subprocess.Popen[str]:
    settings = [part for each in SETTINGS for part in ("--set", each)]
    command = [sys.executable, "-m", "omnicost", "train", str(root / "labelled"), "--base", "tiny"]
    places = ["--out", str(root / name), "--store", str(root / f"{name}-store"), "--cpus", "1"]
    return subprocess.Popen(
        [*command, *places, *settings, "--json"],
        env=os.environ | {"RAY_worker_niceness": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )


def killed(process: subprocess.Popen[str]) -> None:
    """The whole session of a run, as a closed lid or a killed job takes it."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(30)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "killpg"), reason="kills process groups")
def test_train_survives_kills(tmp_path: Path) -> None:
    """Killed with all its processes at random moments, it goes on, does nothing finished twice,
    and ends with the bytes of an undisturbed run: student, merged labels, figures."""
    pytest.importorskip("ray")
    write_coco(SPECS["tiny-coco"], tmp_path / "truth", {"train": 16, "val": 4})
    policy = Policy.parse("mask=0.5,box=0.5")
    write_given(tmp_path / "labelled", open_dataset(tmp_path / "truth", "train"), policy)
    whole = started(tmp_path, "whole")
    begun = time.monotonic()
    told, _ = whole.communicate(timeout=3000)
    takes = time.monotonic() - begun
    assert whole.returncode == 0
    chance = random.Random(5)
    for _ in range(KILLS):
        process = started(tmp_path, "shot")
        try:
            process.wait(chance.uniform(0.1, 0.7) * takes)
        except subprocess.TimeoutExpired:
            killed(process)
        else:
            assert process.returncode == 0
            break
    last = started(tmp_path, "shot")
    again, _ = last.communicate(timeout=3000)
    assert last.returncode == 0
    one, two = (json.loads(text) for text in (told, again))
    assert one | {"folder": ""} == two | {"folder": ""}
    for name in ("student.safetensors", "merged.json"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "shot" / name).read_bytes()
