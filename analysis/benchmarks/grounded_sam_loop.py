"""Claim: pseudo-masks come faster than from the plain loop of Grounded-SAM scripts.

The loop takes one image after the other and one box after the other through transformers' SAM,
scales each mask up and encodes it. Same weights, same boxes; both encode every image once.

    python analysis/benchmarks/grounded_sam_loop.py                        # tiny, under a minute
    python analysis/benchmarks/grounded_sam_loop.py --size vit_b --images 3
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from statistics import mean
from typing import Annotated

import numpy as np
import torch
import typer
from bench_world import released_teacher, write_pictures, write_sam
from pycocotools import mask as mask_api

from omnicost.annotation import AnnotationType
from omnicost.data import Dataset
from omnicost.models.teachers.teacher import load_promptable
from omnicost.pipeline.config import PseudomaskConfig
from omnicost.pipeline.pseudomask import generate as pseudomask
from omnicost.pipeline.pseudomask.rows import Job
from omnicost.pipeline.teacher.kinds import TeacherKind


@torch.no_grad()
def plain_loop(dataset: Dataset, spec: str) -> list[bytes]:
    """One image, one box at a time."""
    released = load_promptable(spec)
    sam, frame = released.model, released.frame
    codes = []
    for index in range(len(dataset)):
        image = dataset.image(index)
        size = image.shape[:2]
        embedding = sam.get_image_embeddings(frame.pixel_values([image]))
        for box in dataset.instances(index).boxes:
            prompt = frame.prompts(None, box[None], size).boxes
            masks = sam(
                image_embeddings=embedding, input_boxes=prompt[None], multimask_output=False
            ).pred_masks
            mask = frame.full_size_logits(masks[0, :, 0], size)[0] > 0
            codes.append(
                mask_api.encode(np.asfortranarray(mask.numpy().astype(np.uint8)))["counts"]
            )
    return codes


def ours(dataset: Dataset, spec: str, root: Path) -> list[bytes]:
    """The pseudomask step."""
    kind = TeacherKind("box", False)
    teacher = released_teacher(root / "teacher", dataset, spec, kind)
    out, work = root / "out", root / "work"
    out.mkdir()
    work.mkdir()
    job = Job(AnnotationType.BOX, range(len(dataset)), out, {"mask": teacher})
    pseudomask.run(dataset, spec, "", PseudomaskConfig(), [job], work=work)
    return pseudomask.read(out)["rle"].to_pylist()


def overlap(one: bytes, other: bytes, image_side: int) -> float:
    """IoU of two masks of a square picture; 1 where both are empty."""
    first, second = ({"size": [image_side] * 2, "counts": counts} for counts in (one, other))
    either = mask_api.area(mask_api.merge([first, second]))
    both = mask_api.area(mask_api.merge([first, second], intersect=True))
    return float(both / either) if either else 1.0


def main(
    size: Annotated[str, typer.Option(help="tiny or vit_b.")] = "tiny",
    images: Annotated[int, typer.Option(help="Pictures.")] = 200,
    threads: Annotated[int, typer.Option(help="torch's threads.")] = 2,
) -> None:
    """Print images a second of both, their ratio, and how far their masks agree."""
    torch.set_num_threads(threads)
    side, instances = (64, 4) if size == "tiny" else (1024, 8)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        sam = write_sam(root / "sam", size)
        dataset = write_pictures(root / "data", images, side, instances)
        start = time.perf_counter()
        expected = plain_loop(dataset, sam)
        middle = time.perf_counter()
        got = ours(dataset, sam, root)
        end = time.perf_counter()
    alike = mean(overlap(*pair, image_side=side) for pair in zip(expected, got, strict=True))
    figures = {
        "size": size,
        "loop_images_per_second": round(images / (middle - start), 3),
        "images_per_second": round(images / (end - middle), 3),
        "ratio": round((middle - start) / (end - middle), 2),
        "mean_iou_of_both": round(alike, 4),  # fp16 embeddings move a pixel here and there
    }
    typer.echo(json.dumps(figures))


if __name__ == "__main__":
    typer.run(main)
