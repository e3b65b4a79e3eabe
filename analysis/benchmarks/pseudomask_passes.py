"""Claim: the pseudo-masks of 12 cells in one pass over the images cost far less than in 12 passes.

The cells are the paper's: four annotation types at three shares of masks. No embedding is cached,
so a pass encodes every image once.

    python analysis/benchmarks/pseudomask_passes.py                         # tiny, about a minute
    python analysis/benchmarks/pseudomask_passes.py --size vit_b --images 2 # 10 minutes on 2 cores
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import torch
import typer
from bench_world import released_teacher, write_detections, write_pictures, write_sam

from omnicost.annotation import PAPER_TYPES
from omnicost.data import Dataset
from omnicost.pipeline.config import PseudomaskConfig
from omnicost.pipeline.pseudomask import generate as pseudomask
from omnicost.pipeline.pseudomask.rows import Job
from omnicost.pipeline.recipe import Recipe

SHARES = ("0%", "1%", "10%")


def cells(dataset: Dataset, sam: str, root: Path, detections: Path, name: str) -> list[Job]:
    """Twelve jobs on all images, each with teachers and an artefact of its own."""
    jobs = []
    for kind in PAPER_TYPES[:-1]:
        for share in SHARES:
            folder = root / name / f"{kind}-{share}"
            teachers = {
                role: released_teacher(folder / role, dataset, sam, each)
                for role, each in Recipe().teachers(kind).items()
            }
            out = folder / "out"
            out.mkdir()
            jobs.append(Job(kind, range(len(dataset)), out, teachers, [detections]))
    return jobs


def seconds(dataset: Dataset, sam: str, passes: Sequence[Sequence[Job]], work: Path) -> float:
    """Time of some passes, one after the other, models loaded anew for each."""
    work.mkdir()
    start = time.perf_counter()
    for jobs in passes:
        pseudomask.run(dataset, sam, "", PseudomaskConfig(), jobs, work=work)
    return time.perf_counter() - start


def main(
    size: Annotated[str, typer.Option(help="tiny or vit_b.")] = "tiny",
    images: Annotated[int, typer.Option(help="Pictures.")] = 64,
    threads: Annotated[int, typer.Option(help="torch's threads.")] = 2,
) -> None:
    """Print seconds of one pass and of twelve, and their ratio."""
    torch.set_num_threads(threads)
    side, instances = (64, 4) if size == "tiny" else (1024, 8)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        sam = write_sam(root / "sam", size)
        dataset = write_pictures(root / "data", images, side, instances)
        detections = write_detections(root / "detections", dataset)
        together = cells(dataset, sam, root, detections, "together")
        apart = cells(dataset, sam, root, detections, "apart")
        one = seconds(dataset, sam, [together], root / "work-one")
        twelve = seconds(dataset, sam, [[job] for job in apart], root / "work-twelve")
    figures = {"size": size, "images": images, "one_pass": one, "twelve_passes": twelve}
    typer.echo(json.dumps({**figures, "ratio": round(twelve / one, 2)}))


if __name__ == "__main__":
    typer.run(main)
