"""The real student under two processes: they are one student, and are taken up where they were."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from distributed_student import MASK, config_of
from places import DRIVERS, ROOT, SUPPORT
from student_world import make_backbone, make_dataset

from omnicost.models.students import student as interface
from omnicost.pipeline.student import train
from omnicost.progress import silent

DRIVER = DRIVERS / "distributed_student.py"


def together(folder: Path, device: str = "cpu", stop: int | None = None) -> list[int]:
    """Exit codes of two processes that train in a folder."""
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(SUPPORT)]),
        "OMP_NUM_THREADS": "1",
    }
    processes = [
        subprocess.Popen(
            [sys.executable, str(DRIVER), str(rank), "2", str(folder), device]
            + ([] if stop is None else [str(stop)]),
            env=environment,
        )
        for rank in range(2)
    ]
    return [process.wait(timeout=300) for process in processes]


def prepared(folder: Path) -> Path:
    make_backbone(folder / "backbone")
    return folder


@pytest.mark.slow
def test_two_processes_are_one_student_and_resume(tmp_path: Path) -> None:
    """On gloo: the losses are those of one process but for the points drawn, both processes end,
    only the first writes, and killed at step 5 they go on from step 3 to the same bits."""
    whole = prepared(tmp_path / "whole")
    assert together(whole) == [0, 0]
    assert (whole / "out-0" / train.WEIGHTS).exists()
    assert list((whole / "out-1").iterdir()) == []

    broken = prepared(tmp_path / "broken")
    assert together(broken, stop=5) == [9, 9]
    assert together(broken) == [0, 0]
    for name in (train.WEIGHTS, train.LOG):
        assert (broken / "out-0" / name).read_bytes() == (whole / "out-0" / name).read_bytes()

    alone = tmp_path / "alone"
    alone.mkdir()
    dataset = make_dataset(tmp_path / "data")
    train.run(
        dataset, np.full(len(dataset), MASK), [], config_of(),
        backbone=str(whole / "backbone"), seed=0, out=alone, work=tmp_path / "work",
        device="cpu", report=silent,
    )  # fmt: skip
    one, two = (interface.load(out / train.WEIGHTS) for out in (alone, whole / "out-0"))
    start = train.build_student(config_of(), dataset.class_names, str(whole / "backbone"), seed=0)
    moved = distance(one, start)
    assert 0 < distance(one, two) < 0.6 * moved, (distance(one, two), moved)
    assert len((whole / "out-0" / train.LOG).read_text().splitlines()) == 6


def distance(one: torch.nn.Module, other: torch.nn.Module) -> float:
    """Between all weights of two students of one shape."""
    own, others = one.state_dict(), other.state_dict()
    floats = [name for name, value in own.items() if value.is_floating_point()]
    return (
        sum(float((own[name].cpu() - others[name].cpu()).square().sum()) for name in floats) ** 0.5
    )


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
def test_two_gpus_are_one_student_and_resume(tmp_path: Path) -> None:
    """On NCCL: both end, only the first writes, and killed at step 5 they go on from step 3."""
    folder = prepared(tmp_path)
    assert together(folder, "cuda", stop=5) == [9, 9]
    assert together(folder, "cuda") == [0, 0]
    lines = (folder / "out-0" / train.LOG).read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert all(np.isfinite(json.loads(line)["loss"]) for line in lines)
