"""Claim: 1,000,000 images with 10,000,000 polygons are counted, planned and indexed within 8 GB.

Writes a COCO-format file of 4 GB at full size, and takes about 15 minutes there:

    python analysis/benchmarks/data/coco_million.py --share 0.2 --json figures.json
    python analysis/benchmarks/data/coco_million.py --share 0.001   # a smoke run
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

IMAGES, INSTANCES, CLASSES = 1_000_000, 10_000_000, 80
LIMIT_GB = 8.0
JOBS = {
    "stats": "from omnicost.cost import stats_of_file; stats_of_file(path)",
    "plan": (
        "from omnicost.cli import app;"
        "app(['plan', '--annotations', path, '--like', 'coco,ade20k', '--budget', '9000h'],"
        " standalone_mode=False)"
    ),
    "index": (
        "from omnicost.data.readers.coco_reader import read_coco_columns;"
        "from omnicost.data.columns import save;"
        "save(Path(path + '.columns'), *read_coco_columns(Path(path)))"
    ),
}
TIMED = """
import resource, sys, time
from pathlib import Path
path = sys.argv[1]
{code}
used = resource.getrusage(resource.RUSAGE_SELF)
print(used.ru_utime + used.ru_stime, used.ru_maxrss / 1e6)
"""


def outline(rng: np.random.Generator) -> list[float]:
    """An object of 10 to 60 pixels around, with 8 to 24 corners: COCO's are about as large."""
    corners = int(rng.integers(8, 25))
    angles = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    radii = rng.uniform(10, 60) * rng.uniform(0.7, 1, corners)
    points = np.stack([np.cos(angles), np.sin(angles)], 1) * radii[:, None]
    return (points + rng.uniform(70, 400, 2)).ravel().round(2).tolist()


def write(path: Path, images: int, instances: int, seed: int = 0) -> None:
    """A COCO-format file of that size, written as it is made: polygons of 8 to 24 corners."""
    rng = np.random.default_rng(seed)
    with path.open("w") as file:
        file.write('{"images": [')
        for i in range(images):
            comma = "," if i else ""
            file.write(f'{comma}{{"id":{i},"file_name":"{i:012}.jpg","height":480,"width":640}}')
        names = ",".join(f'{{"id":{i + 1},"name":"class {i}"}}' for i in range(CLASSES))
        file.write(f'], "categories": [{names}], "annotations": [')
        outlines = [json.dumps(outline(rng)) for _ in range(1000)]
        image, kind = rng.integers(images, size=instances), rng.integers(CLASSES, size=instances)
        for i in range(instances):
            file.write(
                f'{"," if i else ""}{{"id":{i},"image_id":{image[i]},"category_id":{kind[i] + 1},'
                f'"segmentation":[{outlines[i % 1000]}],"area":{900 + i % 977}.5,'
                f'"bbox":[{i % 300}.25,{i % 200}.5,{9 + i % 90}.75,{9 + i % 80}.0],"iscrowd":0}}'
            )
        file.write("]}")


def main(
    share: Annotated[float, typer.Option(min=0.0001, max=1, help="Share of the size.")] = 0.2,
    result: Annotated[Path | None, typer.Option("--json", help="Where figures go.")] = None,
) -> None:
    """Write the file, then do each job in a process of its own."""
    figures: dict[str, float] = {"images": round(IMAGES * share), "share": share}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "instances.json"
        write(path, round(IMAGES * share), round(INSTANCES * share))
        figures["file_gb"] = round(path.stat().st_size / 1e9, 3)
        for name, code in JOBS.items():
            command = [sys.executable, "-c", TIMED.format(code=code), str(path)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            seconds, gigabytes = map(float, done.stdout.splitlines()[-1].split())
            figures |= {f"{name}_cpu_s": round(seconds, 1), f"{name}_gb": round(gigabytes, 2)}
            print(f"{name:<6}{seconds:8.1f} CPU s  {gigabytes:.2f} GB")
    if result is not None:
        result.write_text(json.dumps(figures, indent=1) + "\n")
    sys.exit(max(figures[f"{name}_gb"] for name in JOBS) > LIMIT_GB)


if __name__ == "__main__":
    typer.run(main)
