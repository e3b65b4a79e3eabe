"""Claim: a tiny world is drawn at 300 pictures a second or more on one core.

Takes some seconds:

    python analysis/benchmarks/data/tiny_world.py
    python analysis/benchmarks/data/tiny_world.py --pictures 20   # a smoke run
"""

from __future__ import annotations

import json
import time
from typing import Annotated

import typer

from omnicost.data.tiny.world import SPECS, render

LEAST_PICTURES_PER_SECOND = 300.0


def pictures_per_second(name: str, pictures: int) -> float:
    """Of processor time, after one picture to warm up."""
    render(SPECS[name], "train", 0)
    start = time.process_time()
    for index in range(pictures):
        render(SPECS[name], "train", index)
    return pictures / (time.process_time() - start)


def main(
    pictures: Annotated[int, typer.Option(min=1, help="Pictures of each world.")] = 300,
) -> None:
    """Draw each world and print pictures a second as JSON; exit 1 if one is too slow."""
    rates = {name: round(pictures_per_second(name, pictures)) for name in SPECS}
    typer.echo(json.dumps({"pictures": pictures, "pictures_per_second": rates}))
    if min(rates.values()) < LEAST_PICTURES_PER_SECOND:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
