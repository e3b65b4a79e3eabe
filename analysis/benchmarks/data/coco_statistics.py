"""Claim: K, c and n of an 860,000-instance COCO file cost at most 1.5x a plain `json.load` of it.

Takes about 2 minutes and 5 GB of memory at full size:

    python analysis/benchmarks/data/coco_statistics.py
    python analysis/benchmarks/data/coco_statistics.py --share 0.05   # a smoke run
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import numpy as np
import typer

# COCO train2017.
IMAGES, INSTANCES, CLASSES = 118_287, 860_001, 80
LIMIT = 1.5

PLAIN = "import json; json.load(open(path))"
STATISTICS = "from omnicost.cost.stats import stats_of_file; stats_of_file(path)"
TIMED = """
import resource, sys, time
import numpy, omnicost.coco, omnicost.cost
path = sys.argv[1]
start = time.perf_counter()
{code}
seconds = time.perf_counter() - start
print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6)
"""


def synthetic(images: int, instances: int, seed: int = 0) -> dict[str, Any]:
    """COCO-format data of COCO's size: polygons of 4 to 40 corners, 1% crowds."""
    rng = np.random.default_rng(seed)
    image = rng.integers(images, size=instances)
    kind = rng.integers(CLASSES, size=instances)
    corners = rng.integers(4, 41, size=instances)
    crowd = rng.random(instances) < 0.01
    points = rng.random((instances, 80)).round(4) * 640
    boxes = rng.random((instances, 4)).round(4) * 320
    return {
        "images": [
            {"id": i, "file_name": f"{i:012}.jpg", "height": 480, "width": 640}
            for i in range(images)
        ],
        "categories": [{"id": i + 1, "name": f"class {i}"} for i in range(CLASSES)],
        "annotations": [
            {
                "id": i,
                "image_id": int(image[i]),
                "category_id": int(kind[i]) + 1,
                "segmentation": [points[i, : 2 * corners[i]].round(2).tolist()],
                "area": float(boxes[i, 2] * boxes[i, 3]),
                "bbox": boxes[i].round(2).tolist(),
                "iscrowd": int(crowd[i]),
            }
            for i in range(instances)
        ],
    }


def timed(code: str, path: Path) -> tuple[float, float]:
    """Seconds and peak gigabytes of the code in a fresh process."""
    command = [sys.executable, "-c", TIMED.format(code=code), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds, gigabytes = map(float, done.stdout.split())
    return seconds, gigabytes


def main(
    share: Annotated[float, typer.Option(min=0.001, max=1, help="Share of COCO's size.")] = 1.0,
    repeats: Annotated[int, typer.Option(min=1, help="Runs of each, alternating.")] = 3,
) -> None:
    """Time both in turn and print the ratio of the medians."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "instances.json"
        path.write_text(json.dumps(synthetic(round(IMAGES * share), round(INSTANCES * share))))
        print(f"{path.stat().st_size / 1e6:.0f} MB, {round(INSTANCES * share):,} instances")
        runs = [(timed(PLAIN, path), timed(STATISTICS, path)) for _ in range(repeats)]
    plain, statistics = (median(run[i][0] for run in runs) for i in range(2))
    for name, seconds, i in (("json.load", plain, 0), ("statistics", statistics, 1)):
        print(f"{name:<11}{seconds:7.2f} s  {max(run[i][1] for run in runs):.2f} GB")
    ratio = statistics / plain
    print(f"ratio {ratio:.2f} (at most {LIMIT})")
    sys.exit(ratio > LIMIT)


if __name__ == "__main__":
    typer.run(main)
