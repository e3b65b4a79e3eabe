"""Claim: `omnicost --help` takes at most 3x `python -c 'import numpy, typer'`.

python analysis/benchmarks/start_up.py
"""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Annotated

import typer

LIMIT = 3.0
HELP = (sys.executable, "-c", "from omnicost.cli import main; main()", "--help")
PLAIN = (sys.executable, "-c", "import numpy, typer")


def seconds_of(command: tuple[str, ...]) -> float:
    """Wall time of a command in a fresh process."""
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def main(
    repeats: Annotated[int, typer.Option(min=1, help="Runs of each, alternating.")] = 10,
) -> None:
    """Print the best of both and their ratio: other work on a machine only adds time."""
    seconds_of(HELP), seconds_of(PLAIN)  # fills the file cache
    pairs = [(seconds_of(HELP), seconds_of(PLAIN)) for _ in range(repeats)]
    ours, theirs = (min(column) for column in zip(*pairs, strict=True))
    print(f"omnicost --help     {ours:.3f} s\nimport numpy, typer {theirs:.3f} s")
    print(f"ratio {ours / theirs:.2f} (at most {LIMIT:g})")
    sys.exit(ours > LIMIT * theirs)


if __name__ == "__main__":
    typer.run(main)
