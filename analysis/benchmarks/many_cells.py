"""Claim: a card's cells cost as much each from 100 to 2,000, and 20,000 artefacts list in seconds.

    python analysis/benchmarks/many_cells.py --json figures.json     # a minute
    python analysis/benchmarks/many_cells.py --cells 20 --cells 40 --artefacts 200   # a smoke

CPU time of a cell: reading the card, planning its stages, the dry run's estimate, and one look of
what tracks a sweep. The data set is two small pictures, so that nothing else counts.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from PIL import Image

from omnicost.engine.manifest import StageManifest
from omnicost.engine.store import MANIFEST, Store
from omnicost.sweep.estimate import estimate
from omnicost.sweep.launch import Request, prepare
from omnicost.sweep.progress import Watcher

FLAT = 1.5  # the dearest cell against the cheapest
LIST_SECONDS = 30.0
_CARD = """
base: tiny
name: many
datasets: [{{name: own, root: {root}, train: all, val: all}}]
grid: {{mask_shares: [0.5], types: [point, box]}}
axes: {{teacher.steps: [{steps}]}}
"""


def write_set(folder: Path) -> Path:
    """Two pictures with an object each."""
    outline = [[2, 2, 12, 2, 12, 12, 2, 12]]
    content = {
        "images": [{"id": n, "file_name": f"{n}.png", "height": 20, "width": 30} for n in (1, 2)],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [
            {"id": n, "image_id": n, "category_id": 1, "segmentation": outline} for n in (1, 2)
        ],
    }
    for n in (1, 2):
        Image.fromarray(np.full((20, 30, 3), n, np.uint8)).save(folder / f"{n}.png")
    (folder / "instances.json").write_text(json.dumps(content))
    return folder / "instances.json"


def milliseconds_a_cell(folder: Path, cells: int) -> float:
    """CPU time of everything that happens to a cell before it runs, and of one look at it."""
    steps = ", ".join(str(1 + number) for number in range(cells // 2))
    card = folder / f"{cells}.yaml"
    card.write_text(_CARD.format(root=write_set(folder), steps=steps))
    store = Store(folder / "store")
    started = time.process_time()
    prepared = prepare(Request(card), store.data)
    estimate(prepared.graph, store, prepared.card.hardware)
    Watcher(prepared.graph, store).look()
    assert len(prepared.graph.plans) == cells
    return 1e3 * (time.process_time() - started) / cells


def seconds_to_list(folder: Path, artefacts: int) -> float:
    """CPU time to read the manifests of that many artefacts, as `store ls` does."""
    store = Store(folder / "full")
    for number in range(artefacts):
        key = f"{number:064x}"
        told = StageManifest(
            key=key, stage="student", version=1, label=f"student {number}", params={}, inputs={},
            wall_seconds=1.0, cpu_seconds=1.0, started="2026-01-01", host="", device="cpu",
            threads=1, versions={}, files={},
        )  # fmt: skip
        store.path(key).mkdir(parents=True)
        (store.path(key) / MANIFEST).write_text(told.model_dump_json())
    started = time.process_time()
    assert sum(1 for _ in store.manifests()) == artefacts
    return time.process_time() - started


def main(
    cells: Annotated[list[int] | None, typer.Option(min=2, help="Sizes of cards.")] = None,
    artefacts: Annotated[int, typer.Option(min=1, help="Of the store that is listed.")] = 20_000,
    result: Annotated[Path | None, typer.Option("--json", help="Where figures go.")] = None,
) -> None:
    """Time cards of several sizes and a full store."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        milliseconds_a_cell(folder, 2)  # imports, weights' fingerprints
        each = {size: milliseconds_a_cell(folder, size) for size in cells or (100, 500, 2000)}
        listed = seconds_to_list(folder, artefacts)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    for size, cost in each.items():
        print(f"{size:>6} cells: {cost:.2f} ms each")
    print(f"{artefacts:>6} artefacts listed in {listed:.1f} s; {memory:.2f} GB at most")
    if result is not None:
        figures = {"ms_a_cell": each, "artefacts": artefacts, "list_s": listed, "gb": memory}
        result.write_text(json.dumps(figures, indent=1) + "\n")
    sys.exit(max(each.values()) > FLAT * min(each.values()) or listed > LIST_SECONDS)


if __name__ == "__main__":
    typer.run(main)
