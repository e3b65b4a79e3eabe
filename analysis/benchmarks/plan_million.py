"""Claim: a plan for 1,000,000 images with 1,000 draws and a manifest takes under 10 s and 1 GB.

Runs the command itself in a process of its own, start-up included, so the figures are those that a
person at a terminal sees:

    python analysis/benchmarks/plan_million.py            # 3 runs, about 20 s
    python analysis/benchmarks/plan_million.py --images 10000 --runs 1
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

SECONDS_LIMIT, GIGABYTES_LIMIT = 10.0, 1.0


def measure(images: int, draws: int) -> tuple[float, float, int]:
    """Wall seconds, peak resident gigabytes and lines of the manifest of one run."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            *(sys.executable, "-c", "from omnicost.cli import main; main()"),
            *("plan", "--dataset", "coco"),
            *("--images", str(images), "--budget", f"{images * 90 / 3600:.0f}h"),
            *("--draws", str(draws), "--manifest", folder),
        ]
        start = time.perf_counter()
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - start
        if status:
            raise SystemExit(f"omnicost plan failed with status {status}")
        with (Path(folder) / "manifest.csv").open() as file:
            lines = sum(1 for _ in file) - 1
    # Linux counts kilobytes, macOS bytes.
    unit = 1e9 if sys.platform == "darwin" else 1e6
    return seconds, usage.ru_maxrss / unit, lines


def main() -> None:
    """Print the median of the runs and whether both limits hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--draws", type=int, default=1_000)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    runs = [measure(arguments.images, arguments.draws) for _ in range(arguments.runs)]
    seconds, gigabytes = median(r[0] for r in runs), max(r[1] for r in runs)
    result = {
        "images": arguments.images,
        "draws": arguments.draws,
        "manifest_lines": runs[0][2],
        "seconds": round(seconds, 2),
        "all_seconds": [round(run[0], 2) for run in runs],
        "peak_gigabytes": round(gigabytes, 3),
        "within_limits": seconds < SECONDS_LIMIT and gigabytes < GIGABYTES_LIMIT,
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
