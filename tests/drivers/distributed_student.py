"""Several processes that train one student together, for `test_student_distributed`.

python distributed_student.py RANK SIZE FOLDER DEVICE [STOP]
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from student_world import make_dataset, tiny_values

from omnicost.annotation import AnnotationType
from omnicost.pipeline.student import train
from omnicost.pipeline.student.config import StudentConfig
from omnicost.pipeline.student.data import World

MASK = AnnotationType.MASK.strength


def config_of() -> StudentConfig:
    """Six steps of four pictures, put down after the third."""
    values = tiny_values(steps=6, batch_images=4)
    return StudentConfig.model_validate({**values, "checkpoint_every": 3})


def main(rank: int, size: int, folder: Path, device: str, stop: int | None) -> None:
    """Train; at step `stop` every process leaves without a word, as when it is killed."""
    torch.set_num_threads(1)
    dataset = make_dataset(folder / f"data-{rank}")

    def report(done: int, total: int, figures: dict[str, Any]) -> None:
        if done == stop:
            os._exit(9)

    store = torch.distributed.FileStore(str(folder / f"store-{stop}"), size)
    backend = "nccl" if device == "cuda" else "gloo"
    own = f"cuda:{rank}" if device == "cuda" else device
    if device == "cuda":
        torch.cuda.set_device(rank)
    torch.distributed.init_process_group(backend, store=store, rank=rank, world_size=size)
    out = folder / f"out-{rank}"
    out.mkdir(exist_ok=True)
    train.run(
        dataset, np.full(len(dataset), MASK), [], config_of(), backbone=str(folder / "backbone"),
        seed=0, out=out, work=folder / "work", device=own, report=report, world=World(rank, size),
    )  # fmt: skip
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    number, processes, where, kind, *rest = sys.argv[1:]
    main(int(number), int(processes), Path(where), kind, int(rest[0]) if rest else None)
