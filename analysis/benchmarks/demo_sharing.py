"""Claims of the demo: shared stages run once, two cores stay busy, sharing pays, runs repeat.

python analysis/benchmarks/demo_sharing.py --out out/demo-sharing
python analysis/benchmarks/demo_sharing.py --out out/demo-sharing --earlier results/demo.jsonl

Runs the demo from an empty store twice, then the same nine cells with sharing switched off, each
in a process of its own. Prints wall time; process CPU seconds of the stages over wall time x CPUs;
whether every stage ran exactly once; whether the rows of the two cold runs are equal bit for bit;
and how much longer the cells take without sharing. The data set is drawn beforehand: it is no
stage. Take it on an idle machine.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from omnicost.engine.store import Store
from omnicost.results import read_rows
from omnicost.sweep.launch import Request, prepare
from omnicost.sweep.rows import same_results

TARGET_BUSY = 0.85
SWEEP = (sys.executable, "-c", "from omnicost.cli import main; main()", "sweep")


class Run(NamedTuple):
    """One sweep from an empty store."""

    wall_seconds: float
    store: Store
    rows: Path


def run(card: str, folder: Path, cpus: int, *options: str) -> Run:
    """Run a card into a new folder, as a user would."""
    store = Store(folder / "store")
    prepare(Request(card), store.data)
    places = ("--store", str(store.root), "--results", str(folder), "--cpus", str(cpus))
    start = time.perf_counter()
    subprocess.run([*SWEEP, card, *places, *options], check=True)
    return Run(time.perf_counter() - start, store, folder / f"{card}.jsonl")


def figures_of(done: Run, cpus: int) -> dict[str, Any]:
    """What a run took and how often its stages ran."""
    manifests = list(done.store.manifests())
    starts = [
        sum(execution.event == "start" for execution in done.store.executions(manifest.key))
        for manifest in manifests
    ]
    cpu_seconds = sum(manifest.cpu_seconds for manifest in manifests)
    by_stage: dict[str, float] = {}
    for manifest in manifests:
        by_stage[manifest.stage] = by_stage.get(manifest.stage, 0.0) + manifest.cpu_seconds
    return {
        "wall_seconds": round(done.wall_seconds, 1),
        "cpu_seconds": round(cpu_seconds, 1),
        "cpu_seconds_by_stage": {name: round(s, 1) for name, s in by_stage.items()},
        "busy": round(cpu_seconds / (done.wall_seconds * cpus), 3),
        "stages": len(manifests),
        "each_ran_once": set(starts) == {1},
    }


def rows_are_equal(one: Path, other: Path) -> bool:
    """Whether two files hold the same cells with the same results, whatever their order."""
    pairs = [
        {str((row.policy, row.seed)): row.model_dump(mode="json") for row in read_rows(path)}
        for path in (one, other)
    ]
    cells = set(pairs[0])
    return cells == set(pairs[1]) and all(same_results(pairs[0][c], pairs[1][c]) for c in cells)


def main(
    out: Annotated[Path, typer.Option(help="New folder for stores, rows and figures.")],
    card: Annotated[str, typer.Option(help="The card to run.")] = "demo",
    cpus: Annotated[int, typer.Option(help="CPUs to use.")] = 2,
    earlier: Annotated[
        Path | None, typer.Option(help="Rows of an earlier cold run, in place of a second one.")
    ] = None,
    without: Annotated[bool, typer.Option(help="Also run without sharing.")] = True,
) -> None:
    """Print the figures as JSON and write them to figures.json."""
    out.mkdir(parents=True)
    cold = run(card, out / "cold", cpus)
    again = earlier or run(card, out / "again", cpus).rows
    figures: dict[str, Any] = {
        "card": card,
        "cpus": cpus,
        "shared": figures_of(cold, cpus),
        "target_busy": TARGET_BUSY,
        "cold_runs_equal": rows_are_equal(cold.rows, again),
    }
    if without:
        naive = run(card, out / "naive", cpus, "--no-share")
        figures["not_shared"] = figures_of(naive, cpus)
        figures["wall_ratio"] = round(naive.wall_seconds / cold.wall_seconds, 2)
        ratio = figures["not_shared"]["cpu_seconds"] / figures["shared"]["cpu_seconds"]
        figures["cpu_ratio"] = round(ratio, 2)
        figures["rows_equal_without_sharing"] = rows_are_equal(cold.rows, naive.rows)
    (out / "figures.json").write_text(json.dumps(figures, indent=1) + "\n")
    typer.echo(json.dumps(figures, indent=1))


if __name__ == "__main__":
    typer.run(main)
