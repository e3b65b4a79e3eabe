"""Claim: two processes embed a data set's two portions in about half the time that one takes.

Both ways through stages of a store, as a sweep runs them, models loaded in each process. One
thread a process; two free cores are needed, or the ratio says how busy the machine is.

    python analysis/benchmarks/embedding_portions.py                        # tiny, a minute
    python analysis/benchmarks/embedding_portions.py --size vit_b --images 8  # 5 minutes
"""

from __future__ import annotations

import json
import multiprocessing
import tempfile
import time
from pathlib import Path
from typing import Annotated

import torch
import typer
from bench_world import write_pictures, write_sam

from omnicost.engine.execute import execute
from omnicost.engine.graph import Stage
from omnicost.engine.store import Store
from omnicost.models.loading import fingerprint
from omnicost.pipeline.config import EmbedConfig
from omnicost.pipeline.portions import Portion
from omnicost.sweep.sources import SplitSource, WeightsSource
from omnicost.sweep.stages.stage_functions import EMBED
from omnicost.sweep.stages.stage_params import EmbedParams


def stages(data: SplitSource, sam: WeightsSource, count: int) -> list[Stage]:
    """A stage for each of so many portions."""
    config = EmbedConfig(workers=0)
    portions = [Portion(number, count) for number in range(count)]
    told = [EmbedParams(data=data, sam=sam, config=config, portion=each) for each in portions]
    return [Stage(EMBED, params, label=f"embed{params.portion}") for params in told]


def work(root: Path, own: list[Stage], ready: object, go: object) -> None:
    """A process of its own: says that it is there, waits for the start, executes its stages."""
    torch.set_num_threads(1)
    ready.release()  # type: ignore[attr-defined]
    go.wait()  # type: ignore[attr-defined]
    for stage in own:
        execute(Store(root, create=False), stage)


def seconds(root: Path, shares: list[list[Stage]]) -> float:
    """From the start of all processes to the end of the last."""
    Store(root)
    context = multiprocessing.get_context("spawn")
    ready, go = context.Semaphore(0), context.Event()
    processes = [context.Process(target=work, args=(root, own, ready, go)) for own in shares]
    for process in processes:
        process.start()
    for _ in processes:
        ready.acquire()
    started = time.perf_counter()
    go.set()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    return time.perf_counter() - started


def main(
    size: Annotated[str, typer.Option(help="tiny or vit_b.")] = "tiny",
    images: Annotated[int, typer.Option(help="Pictures.")] = 1_000,
    repeats: Annotated[int, typer.Option(help="Of each way, by turns; the fastest counts.")] = 3,
    out: Annotated[Path | None, typer.Option(help="JSON file to write.")] = None,
) -> None:
    """Time one process on the whole and two on a half each."""
    best = {"one": float("inf"), "two": float("inf")}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        spec = write_sam(root / "sam", size)
        dataset = write_pictures(root / "data", images, 64 if size == "tiny" else 640)
        data = SplitSource(
            fingerprint=dataset.fingerprint, name_or_path=str(root / "data"), split="all",
            cache=str(root / "data" / "cache"),
        )  # fmt: skip
        sam = WeightsSource(fingerprint=fingerprint(spec, "sam"), spec=spec)
        for turn in range(repeats):
            whole, halves = stages(data, sam, 1), stages(data, sam, 2)
            for name, shares in (("one", [whole]), ("two", [[half] for half in halves])):
                best[name] = min(best[name], seconds(root / f"{name}-{turn}", shares))
    told = {f"seconds_{name}": round(value, 2) for name, value in best.items()}
    ratio = round(best["one"] / best["two"], 2)
    text = json.dumps({"size": size, "images": images, **told, "ratio": ratio}, indent=1)
    print(text)
    if out is not None:
        out.write_text(text + "\n")


if __name__ == "__main__":
    typer.run(main)
