"""Claim: peak memory stays flat as images grow (1,000 against 10,000 tiny pictures). Linux only.

Each count runs embed, a few steps of the teacher and pseudo-masks in a process of its own, whose
peak resident memory is read at the end.

    python analysis/benchmarks/memory_flat.py                          # about 6 minutes
    python analysis/benchmarks/memory_flat.py --few 100 --many 400     # a smoke run
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

MOST_GROWTH = 1.2
STEPS = """
import sys
from pathlib import Path
import torch
sys.path.insert(0, sys.argv[3])
from bench_world import released_teacher
from omnicost.annotation import AnnotationType
from omnicost.data import open_dataset
from omnicost.pipeline import embed
from omnicost.pipeline.pseudomask import generate as pseudomask
from omnicost.pipeline.teacher import train as teacher
from omnicost.pipeline.config import EmbedConfig, PseudomaskConfig, TeacherConfig
from omnicost.pipeline.teacher.kinds import TeacherKind

torch.set_num_threads(2)
root, sam = Path(sys.argv[1]), sys.argv[2]
dataset = open_dataset(root / "data", "all", cache=root / "data" / "cache")
def folder(name):
    (root / name).mkdir()
    return root / name
embeddings = folder("embeddings")
embed.run(dataset, sam, EmbedConfig(batch_images=16), out=embeddings, work=folder("w1"))
kind = TeacherKind("box", False)
config = TeacherConfig(steps=5, points=1024)  # few: else its own peak would hide growth
tuned = folder("teacher")
teacher.run(dataset, sam, "", config, kind=kind, labelled=range(len(dataset)), seed=0,
            embeddings=[embeddings], out=tuned, work=folder("w2"))
job = pseudomask.Job(AnnotationType.BOX, range(len(dataset)), folder("masks"), {"mask": tuned})
pseudomask.run(dataset, sam, "", PseudomaskConfig(), [job], embeddings=[embeddings],
               work=folder("w3"))
print("PEAK", Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
"""


def peak_megabytes(images: int) -> float:
    """Peak resident memory of the three steps on that many pictures."""
    sys.path.insert(0, str(Path(__file__).parent))
    from bench_world import write_pictures, write_sam

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        sam = write_sam(root / "sam", "tiny")
        write_pictures(root / "data", images)
        command = [sys.executable, "-c", STEPS, folder, sam, str(Path(__file__).parent)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = re.search(r"PEAK (\d+)", done.stdout)
    return int(found[1]) / 1000 if found else float("nan")


def main(
    few: Annotated[int, typer.Option(help="Pictures of the smaller run.")] = 1_000,
    many: Annotated[int, typer.Option(help="Pictures of the larger run.")] = 10_000,
) -> None:
    """Print both peaks in megabytes and the growth; exit 1 if it is more than a fifth."""
    small, large = peak_megabytes(few), peak_megabytes(many)
    growth = large / small
    figures = {"few": few, "few_megabytes": small, "many": many, "many_megabytes": large}
    typer.echo(json.dumps({**figures, "growth": round(growth, 3)}))
    if not growth <= MOST_GROWTH:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
