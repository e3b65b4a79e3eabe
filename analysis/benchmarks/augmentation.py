"""Claim: a training view of a picture with 60 instances is made at least 4 times as fast as it was.

The old way decoded all masks at once, resampled every pixel of each and padded copies; the new one
decodes them one by one and resamples what each covers of the window. Same pictures, same draws, by
turns, CPU time of one thread, from run-length codes to the padded view, without reading the file.

    python analysis/benchmarks/augmentation.py              # half a minute
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import numpy as np
import typer
from pycocotools import mask as mask_api

from omnicost.pipeline.student import augment
from omnicost.pipeline.student.config import AugmentConfig
from omnicost.pipeline.student.data import decode_patch

SIDE = 1024
COUNTS = (1, 8, 20, 60)


def codes(rng: np.random.Generator, count: int) -> list[dict[str, Any]]:
    """Ellipses of 2% to 30% of the side, as run-length codes."""
    y, x = np.mgrid[:SIDE, :SIDE]
    found = []
    for _ in range(count):
        centre, radii = rng.uniform(0, SIDE, 2), SIDE * rng.uniform(0.01, 0.15, 2)
        mask = ((y - centre[0]) / radii[0]) ** 2 + ((x - centre[1]) / radii[1]) ** 2 < 1
        found.append(mask_api.encode(np.asfortranarray(mask.astype(np.uint8))))
    return found


def old_view(
    image: np.ndarray, rles: list[dict[str, Any]], config: AugmentConfig, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Picture and masks as they were made up to November 2026."""
    masks = np.ascontiguousarray(mask_api.decode(rles).transpose(2, 0, 1))
    view = augment.draw_view((SIDE, SIDE), config, rng)
    pixels = augment.cut_image(image, view)
    rows = augment._nearest(view.top, view.window[0], SIDE, view.scaled[0])
    columns = augment._nearest(view.left, view.window[1], SIDE, view.scaled[1])
    cut = masks[:, rows[:, None], columns[::-1] if view.flip else columns]
    kept = cut[cut.any((1, 2))].transpose(1, 2, 0)
    whole = augment.padded(kept, config.crop, 0).transpose(2, 0, 1)
    return augment.padded(pixels, config.crop, augment.PADDING), np.ascontiguousarray(whole)


def new_view(
    image: np.ndarray, rles: list[dict[str, Any]], config: AugmentConfig, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The same through patches."""
    patches = tuple(decode_patch(rle) for rle in rles)
    nothing = np.zeros(len(rles), np.int64)
    picture = augment.Picture(image, patches, nothing, nothing.astype(np.float32))
    view = augment.augment(picture, config, rng)
    return view.image, view.masks


def milliseconds(count: int, views: int) -> dict[str, float]:
    """Median over the views of each way, which must agree."""
    rng = np.random.default_rng(count)
    image, rles = rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8), codes(rng, count)
    config, times = AugmentConfig(), {"old": list[float](), "new": list[float]()}
    for seed in range(views):
        made = {}
        for name, way in (("old", old_view), ("new", new_view)):
            started = time.thread_time()
            made[name] = way(image, rles, config, np.random.default_rng(seed))
            times[name].append(1e3 * (time.thread_time() - started))
        assert all(map(np.array_equal, made["old"], made["new"]))
    old, new = median(times["old"]), median(times["new"])
    return {"old_ms": round(old, 2), "new_ms": round(new, 2), "ratio": round(old / new, 2)}


def main(
    views: Annotated[int, typer.Option(help="Random views of each picture.")] = 15,
    out: Annotated[Path | None, typer.Option(help="JSON file to write.")] = None,
) -> None:
    """Time both ways and print the ratios."""
    found = {str(count): milliseconds(count, views) for count in COUNTS}
    text = json.dumps({"side": SIDE, "views": views, "instances": found}, indent=1)
    print(text)
    if out is not None:
        out.write_text(text + "\n")


if __name__ == "__main__":
    typer.run(main)
