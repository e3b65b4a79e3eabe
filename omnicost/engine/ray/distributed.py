"""A stage on several processes through Ray Train's `TorchTrainer`.

Every worker calls the stage's function inside an initialised `torch.distributed` group; rank 0
writes the artefact, the others write into folders that are thrown away.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from ray import train
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer

from omnicost.engine.execute import (
    OutOfMemory,
    StageContext,
    StageFailure,
    StageRefusal,
    call_here,
    failure_for,
    prepare_process,
)
from omnicost.engine.graph import Stage
from omnicost.engine.ray.cluster import demands
from omnicost.errors import StageError
from omnicost.files import write_json
from omnicost.progress import add_waited, silent, waited_seconds

_PROGRESS: Final = "progress.json"
_FAILED: Final = "failed"  # what a worker's error is raised as, and its traceback, by its rank
_FAILURES: Final = {each.__name__: each for each in (StageRefusal, StageFailure, OutOfMemory)}
LOST: Final = (
    "its worker was killed, mostly for want of memory: give its stages more memory_gb, fewer cpus, "
    "or halve_batch"
)
_REPORT_SECONDS: Final = 1.0


def call_on_workers(stage: Stage, context: StageContext) -> float:
    """Call the stage's function on `stage.resources.workers` processes.

    Returns:
        CPU seconds of the workers' processes.
    """
    asked = stage.resources
    scratch = Path(tempfile.mkdtemp(prefix="train.", dir=context.work))
    trainer = TorchTrainer(
        _train_loop,
        # The others wait while rank 0 scores; Ray's half hour is short for that.
        torch_config=TorchConfig(timeout_s=6 * 3_600),
        train_loop_config={
            "stage": stage,
            "context": replace(context, report=silent),
            "scratch": scratch,
        },
        scaling_config=ScalingConfig(
            num_workers=asked.workers,
            use_gpu=asked.gpus > 0,
            resources_per_worker=demands(asked),
        ),
        run_config=RunConfig(
            name="stage",
            storage_path=str(scratch),
            failure_config=FailureConfig(max_failures=0),  # the trial retries, from the checkpoint
        ),
    )
    try:
        with _forwarded(scratch / _PROGRESS, context):
            trainer.fit()
    except Exception as error:
        raise _own_failure(stage, scratch, error) or error from None
    else:
        add_waited(float((scratch / "waited").read_text()))
        return sum(float(path.read_text()) for path in scratch.glob("cpu.*"))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _own_failure(stage: Stage, scratch: Path, error: Exception) -> StageError | None:
    """What the first of the workers that raised has to say, instead of Ray Train; also logged.

    Where a worker was killed, that is the cause: the others raise for want of it.
    """
    raised = sorted(scratch.glob(f"{_FAILED}.*"), key=lambda path: path.stat().st_mtime_ns)
    told = {int(path.suffix[1:]) for path in raised}
    if set(getattr(error, "worker_failures", ())) - told:
        return OutOfMemory(f"{stage.label}: {LOST}")
    if not raised:
        return None
    kind, _, text = raised[0].read_text().strip().partition("\n")
    print(text)
    return _FAILURES[kind](f"{stage.label}: {text.splitlines()[-1]}")


def _train_loop(config: dict[str, Any]) -> None:
    """What each worker does."""
    stage: Stage = config["stage"]
    scratch: Path = config["scratch"]
    rank = train.get_context().get_world_rank()
    context: StageContext = config["context"]
    if rank == 0:
        context = replace(context, report=_writer(scratch / _PROGRESS))
    else:
        (scratch / f"out.{rank}").mkdir()
        context = replace(context, out=scratch / f"out.{rank}")
    started = time.process_time()
    try:
        prepare_process(stage)
        call_here(stage, context)
    except Exception as error:
        kind = failure_for(error).__name__
        (scratch / f"{_FAILED}.{rank}").write_text(f"{kind}\n{traceback.format_exc()}")
        raise
    if rank == 0:
        (scratch / "waited").write_text(str(waited_seconds()))
    (scratch / f"cpu.{rank}").write_text(str(time.process_time() - started))


def _writer(path: Path) -> Any:
    """Reports through a file, at most once a second but for the last."""
    last = 0.0

    def report(done: int, total: int, figures: dict[str, Any]) -> None:
        nonlocal last
        if done == total or time.monotonic() - last >= _REPORT_SECONDS:
            last = time.monotonic()
            write_json(path, [done, total, figures])

    return report


@contextmanager
def _forwarded(path: Path, context: StageContext) -> Iterator[None]:
    """Pass what the workers report on to whoever watches the stage."""
    ended = threading.Event()

    def forward() -> None:
        last, goes_on = "", True
        while goes_on:  # and once more after the end, for the last report
            goes_on = not ended.wait(_REPORT_SECONDS)
            told = path.read_text() if path.exists() else last
            if told != last:
                context.report(*json.loads(told))
                last = told

    thread = threading.Thread(target=forward, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
