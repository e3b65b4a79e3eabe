"""Claim: on cached embeddings a teacher's step takes a fraction of one that encodes its images.

Same weights, same batch, same loss; the one difference is where embeddings come from. A prototype
on two cores had 14.5 s for a ViT-B encoding and 5.3 s for a cached step of 16 boxes: 3.7 to 1.

    python analysis/benchmarks/cached_embeddings.py                 # tiny, under a minute
    python analysis/benchmarks/cached_embeddings.py --size vit_b    # about 5 minutes on 2 cores
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Annotated, NamedTuple

import torch
import typer
from bench_world import write_pictures, write_sam

from omnicost.data import Dataset
from omnicost.models.teachers.teacher import Promptable, load_promptable
from omnicost.pipeline import embed
from omnicost.pipeline.config import DEFAULT_EMBED, TeacherConfig
from omnicost.pipeline.embed import Embeddings, ImageEncoder
from omnicost.pipeline.teacher.examples import Lessons
from omnicost.pipeline.teacher.kinds import TeacherKind
from omnicost.pipeline.teacher.prompting import Teacher
from omnicost.pipeline.teacher.train import build_model
from omnicost.pipeline.teacher.trainer import Trainer

PROMPTS = 16  # on each ViT-B image, as in the prototype


class Step(NamedTuple):
    """Seconds of one training step."""

    cached: float
    encoding: float


def time_steps(dataset: Dataset, sam: str, root: Path, batch: int, steps: int) -> Step:
    """Median over the steps, after a first one that warms up."""
    out, work = root / "embeddings", root / "embedding"
    out.mkdir()
    work.mkdir()
    embed.run(dataset, sam, DEFAULT_EMBED, out=out, work=work)
    seconds = []
    for folders in ([out], []):
        model = load_promptable(sam)
        encoder = ImageEncoder(model, DEFAULT_EMBED)
        embeddings = Embeddings(folders, dataset, lambda encoder=encoder: encoder)
        seconds.append(median(_steps(dataset, model, embeddings, root, batch, steps)))
    return Step(*seconds)


def _steps(
    dataset: Dataset,
    model: Promptable,
    embeddings: Embeddings,
    root: Path,
    batch: int,
    steps: int,
) -> list[float]:
    kind = TeacherKind("box", False)
    config = TeacherConfig(batch_images=batch)
    lessons = Lessons(range(len(dataset)), embeddings, config, kind, model.frame, seed=0)
    teacher = Teacher(build_model(model, None), kind, True, None)
    trainer = Trainer(teacher, lessons, config, root, "cpu")
    seconds = []
    for step in range(steps + 1):
        start = time.perf_counter()
        trainer.step(step, lessons.step(step))
        seconds.append(time.perf_counter() - start)
    return seconds[1:]


def main(
    size: Annotated[str, typer.Option(help="tiny or vit_b.")] = "tiny",
    steps: Annotated[int, typer.Option(help="Timed steps.")] = 5,
    threads: Annotated[int, typer.Option(help="torch's threads.")] = 2,
) -> None:
    """Print seconds of a cached and of an encoding step, and their ratio."""
    torch.set_num_threads(threads)
    tiny = size == "tiny"
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        sam = write_sam(root / "sam", size)
        images, side, instances = (64, 64, 4) if tiny else (2, 1024, PROMPTS)
        dataset = write_pictures(root / "data", images, side, instances)
        took = time_steps(dataset, sam, root, 32 if tiny else 1, steps)
    ratio = took.encoding / took.cached
    typer.echo(json.dumps({"size": size, **took._asdict(), "ratio": round(ratio, 2)}))


if __name__ == "__main__":
    typer.run(main)
