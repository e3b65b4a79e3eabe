"""Claim: masks become run-length codes faster than they did, and beside the drawing.

First the codes alone, CPU time of one thread by turns: pycocotools' on a copy that lies columns
first, as up to November 2026, against the present ones, on masks as a processor draws them and as
a GPU turns them; the same bytes. Then a whole pass on cached embeddings: everything on the thread
that draws, against blocks read ahead and masks encoded behind; the same artefact. For that two
free cores are needed, and a GPU would gain more: here the drawing is nearly all of it.

    python analysis/benchmarks/pseudomask_codes.py              # a minute
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import numpy as np
import torch
import typer
from bench_world import released_teacher, write_pictures, write_sam
from pycocotools import mask as mask_api

from omnicost.annotation import AnnotationType
from omnicost.data import Dataset, rle
from omnicost.pipeline import embed
from omnicost.pipeline.config import EmbedConfig, PseudomaskConfig
from omnicost.pipeline.pseudomask import generate as pseudomask
from omnicost.pipeline.pseudomask.rows import Job
from omnicost.pipeline.teacher.kinds import TeacherKind

SIDE, MASKS = 480, 20  # of the pass
SIZES = ((480, 640), (1024, 1024))


def old_codes(masks: np.ndarray) -> list[dict[str, Any]]:
    """As masks were encoded up to November 2026."""
    return mask_api.encode(np.asfortranarray(masks.transpose(1, 2, 0).view(np.uint8)))


def ellipses(size: tuple[int, int]) -> np.ndarray:
    """``(MASKS, *size) bool`` of many sizes."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[: size[0], : size[1]]
    centres = rng.uniform(0, 1, (MASKS, 2)) * size
    radii = rng.uniform(0.02, 0.25, (MASKS, 2)) * size
    pairs = zip(centres, radii, strict=True)
    return np.stack([((y - c[0]) / r[0]) ** 2 + ((x - c[1]) / r[1]) ** 2 < 1 for c, r in pairs])


def milliseconds(encode: Callable[[np.ndarray], object], masks: np.ndarray) -> float:
    """CPU time a mask."""
    started = time.thread_time()
    encode(masks)
    return 1e3 * (time.thread_time() - started) / len(masks)


def codes(size: tuple[int, int], repeats: int) -> dict[str, float]:
    """Medians of the three ways, by turns."""
    masks = ellipses(size)
    turned = np.ascontiguousarray(masks.transpose(0, 2, 1)).transpose(0, 2, 1)
    assert old_codes(masks) == rle.encode(masks) == rle.encode(turned)
    ways = {
        "old_ms": partial(milliseconds, old_codes, masks),
        "new_ms": partial(milliseconds, rle.encode, masks),
        "new_turned_ms": partial(milliseconds, rle.encode, turned),
    }
    times = [{name: way() for name, way in ways.items()} for _ in range(repeats)]
    return {name: round(median(each[name] for each in times), 3) for name in ways}


def pass_seconds(
    dataset: Dataset, sam: str, cache: Path, teacher: Path, folder: Path, workers: int
) -> float:
    """One pass over all boxes; its artefact lies in the folder's `out`."""
    out, work = folder / "out", folder / "work"
    out.mkdir(parents=True)
    work.mkdir()
    job = Job(AnnotationType.BOX, range(len(dataset)), out, {"mask": teacher})
    config = PseudomaskConfig(workers=workers)
    started = time.perf_counter()
    pseudomask.run(dataset, sam, "", config, [job], embeddings=[cache], work=work)
    return time.perf_counter() - started


def passes(images: int, repeats: int) -> dict[str, float]:
    """The fastest pass of each kind, by turns."""
    best: dict[int, float] = {}
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        sam = write_sam(root / "sam", "tiny")
        dataset = write_pictures(root / "data", images, SIDE, MASKS)
        teacher = released_teacher(root / "teacher", dataset, sam, TeacherKind("box", False))
        cache, scratch = root / "embed", root / "embedding"
        cache.mkdir()
        scratch.mkdir()
        embed.run(dataset, sam, EmbedConfig(), out=cache, work=scratch)
        for turn in range(repeats):
            files = []
            for workers in (0, 1):
                folder = root / f"{turn}-{workers}"
                spent = pass_seconds(dataset, sam, cache, teacher, folder, workers)
                best[workers] = min(best.get(workers, spent), spent)
                files.append((folder / "out" / pseudomask.MASKS).read_bytes())
            assert files[0] == files[1]
    alone, beside = best[0], best[1]
    return {
        "seconds_alone": round(alone, 2),
        "seconds_beside": round(beside, 2),
        "ratio": round(alone / beside, 2),
    }


def main(
    images: Annotated[int, typer.Option(help="Pictures of the pass.")] = 48,
    repeats: Annotated[int, typer.Option(help="Of each measurement.")] = 3,
    out: Annotated[Path | None, typer.Option(help="JSON file to write.")] = None,
) -> None:
    """Time codes and passes."""
    torch.set_num_threads(1)
    alone = {"x".join(map(str, size)): codes(size, 5 * repeats) for size in SIZES}
    found = {"codes": alone, "pass": passes(images, repeats)}
    text = json.dumps({"images": images, "masks": MASKS, **found}, indent=1)
    print(text)
    if out is not None:
        out.write_text(text + "\n")


if __name__ == "__main__":
    typer.run(main)
