"""Claim: `omnicost predict` takes folders of any size at a flat memory. Linux only.

Each count is one run of the command in a process of its own, on pictures of tiny-coco with the tiny
student; its peak resident memory and its time are read at the end.

    python analysis/benchmarks/predict_folder.py                          # about 4 minutes
    python analysis/benchmarks/predict_folder.py --few 20 --many 60       # a smoke run
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
from PIL import Image

MOST_GROWTH = 1.1
RUN = """
import sys, time
import torch
from omnicost.cli import app
torch.set_num_threads(1)
begun = time.process_time(), time.monotonic()
app(["predict", *sys.argv[1:]], standalone_mode=False)
print("TOOK", time.process_time() - begun[0], time.monotonic() - begun[1])
print("PEAK", open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
"""


def write_model(folder: Path) -> None:
    """The tiny student as a model's folder."""
    from omnicost.data.tiny.world import SPECS
    from omnicost.models.students import student
    from omnicost.pipeline.student.config import StudentConfig
    from omnicost.pipeline.student.train import build_student
    from omnicost.project.model_folder import STUDENT, ModelDescription, write_description

    names = SPECS["tiny-coco"].class_names
    folder.mkdir()
    network = build_student(StudentConfig.preset("tiny"), names, "", 0, "tiny")
    student.save(folder / STUDENT, network)
    ids = tuple(range(1, len(names) + 1))
    write_description(folder, ModelDescription(class_names=names, category_ids=ids))


def write_photos(folder: Path, count: int) -> None:
    """Pictures of the tiny world."""
    from omnicost.data.tiny.world import SPECS, render

    folder.mkdir()
    for index in range(count):
        picture = render(SPECS["tiny-coco"], "train", index).image
        Image.fromarray(picture).save(folder / f"{index:06d}.png")


def measured(model: Path, photos: Path, out: Path) -> dict[str, float]:
    """Peak megabytes and pictures a second of one run."""
    command = [sys.executable, "-c", RUN, str(model), str(photos), "--out", str(out), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    told = json.loads(done[: done.index("TOOK")])
    cpu, wall = (float(each) for each in re.findall(r"TOOK (\S+) (\S+)", done)[0])
    return {
        "pictures": told["pictures"],
        "instances": told["instances"],
        "megabytes": int(re.findall(r"PEAK (\d+)", done)[0]) / 1000,
        "pictures_per_second": round(told["pictures"] / wall, 1),
        "pictures_per_cpu_second": round(told["pictures"] / cpu, 1),
    }


def main(
    few: Annotated[int, typer.Option(help="Pictures of the smaller run.")] = 1_000,
    many: Annotated[int, typer.Option(help="Pictures of the larger run.")] = 5_000,
) -> None:
    """Print both runs and the growth of the peak; exit 1 if it is more than a tenth."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_model(root / "model")
        runs = {}
        for name, count in {"few": few, "many": many}.items():
            write_photos(root / name, count)
            runs[name] = measured(root / "model", root / name, root / f"{name}.json")
    growth = runs["many"]["megabytes"] / runs["few"]["megabytes"]
    typer.echo(json.dumps({**runs, "growth": round(growth, 3)}))
    if not growth <= MOST_GROWTH:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
