"""Shared stages as Ray tasks whose object references are their dependencies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import ray

from omnicost.engine.execute import StageFailure, StageOutcome, call_here, execute
from omnicost.engine.graph import Stage
from omnicost.engine.passes import Pass, execute_pass, passes_of
from omnicost.engine.ray.cluster import demands
from omnicost.engine.ray.distributed import LOST, call_on_workers
from omnicost.engine.store import Store
from omnicost.errors import StageError

_LOSSES: Final = (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError)


class Submitter:
    """Hands stages to Ray, each once, after what it waits for: its inputs, the pass that it shares.

    Args:
        stages: key -> stage of all that may be asked for.
    """

    def __init__(self, store: Store, stages: Mapping[str, Stage]) -> None:
        self._store = store
        self._stages = stages
        self._references: dict[str, Any] = {}
        self._passes: dict[str, Pass] = {}
        self._ends: dict[Pass, Any] = {}

    def submit(self, keys: Iterable[str]) -> dict[str, Any]:
        """Hand over those of the stages that were not yet.

        Returns:
            key -> object reference of the stage's `StageOutcome`. A reference fails if its stage
            did, or one that it reads; Ray passes the first cause on.
        """
        asked = set(keys) - self._references.keys()
        new = {key: stage for key, stage in self._stages.items() if key in asked}
        self._passes = {stage.key: each for each in passes_of(new.values()) for stage in each}
        return {key: self._reference(key) for key in new}

    def _reference(self, key: str) -> Any:
        """The stage's reference; submits it if need be."""
        if key not in self._references:
            stage = self._stages[key]
            waits_for = self._inputs(stage)
            if key in self._passes:
                waits_for.append(self._end_of(self._passes[key]))
            self._references[key] = submit_one(self._store, stage, waits_for)
        return self._references[key]

    def _inputs(self, stage: Stage) -> list[Any]:
        return [self._reference(key) for key in stage.inputs.values() if key in self._stages]

    def _end_of(self, stages: Pass) -> Any:
        """Ready when the pass has ended, well or not; it starts when its inputs have ended so."""
        if stages not in self._ends:
            inputs = [reference for stage in stages for reference in self._inputs(stage)]
            task = _task(pass_task, f"pass of {len(stages)}: {stages[0].label}", stages[0])
            ready = task.remote(str(self._store.root), stages, _after(inputs))
            self._ends[stages] = _after([ready])
        return self._ends[stages]


def _after(references: Sequence[Any]) -> Any:
    """Ready when all the references are, failed ones included; holds no CPU while it waits.

    A task that takes the references themselves would fail with the first that failed.
    """
    task = ray.remote(_wait_for).options(num_cpus=0, scheduling_strategy="DEFAULT")
    return task.remote(list(dict.fromkeys(references)))


def _wait_for(references: list[Any]) -> None:
    if references:
        ray.wait(references, num_returns=len(references), fetch_local=False)


def submit_one(store: Store, stage: Stage, waits_for: Iterable[Any] = ()) -> Any:
    """Hand one stage to Ray; lost workers and raising stages are tried again."""
    return _task(stage_task, stage.label, stage).remote(str(store.root), stage, *waits_for)


def _task(function: Callable[..., Any], name: str, stage: Stage) -> Any:
    """A function as a Ray task with what the stage is given.

    Workers of a distributed stage have a placement group of their own: the task holds nothing.
    """
    asked = stage.resources
    held = {"num_cpus": asked.cpus, "num_gpus": asked.gpus, "memory": demands(asked).get("memory")}
    decorate = ray.remote(  # told here of GPUs, not in `options`, Ray ends the process after a call
        name=name,
        max_retries=asked.retries,
        retry_exceptions=[StageFailure],
        scheduling_strategy="DEFAULT",  # not inside the placement group of a trial that asks
        **(held if asked.workers == 1 else {"num_cpus": 0}),
    )
    return decorate(function)


def stage_task(root: str, stage: Stage, *_waited_for: StageOutcome) -> StageOutcome:
    """The task itself, on whichever node Ray chose; workers of its own where it asks for them."""
    call = call_on_workers if stage.resources.workers > 1 else call_here
    return execute(Store(Path(root), create=False), stage, call=call)


def pass_task(root: str, stages: Pass, _inputs_ended: None) -> tuple[str, ...]:
    """Several stages in one go; what it does not publish is left to their own tasks."""
    return execute_pass(Store(Path(root), create=False), stages)


def failure_of(reference: Any) -> str | None:
    """Why a finished reference failed, in one line; None if it did not."""
    try:
        ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        return first_line(error.cause)
    except _LOSSES:
        return LOST
    except ray.exceptions.RayError as error:
        return f"{type(error).__name__}: {first_line(error)}"
    return None


def told_by(error: Exception, stage: Stage) -> str:
    """One line on why a stage failed, whether here or in a task of its own."""
    cause = error.cause if isinstance(error, ray.exceptions.RayTaskError) else error
    text = first_line(cause)
    return text if isinstance(cause, StageError) else f"{stage.label}: {text}"


def first_line(error: BaseException | str) -> str:
    """The first line of an error's text, or its type if it has none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def finished(references: Mapping[str, Any], timeout_seconds: float) -> list[str]:
    """Keys whose reference is ready, failed ones included; waits for one up to the timeout."""
    if not references:
        return []
    by_reference = {reference: key for key, reference in references.items()}
    pending = list(by_reference)
    ray.wait(pending, num_returns=1, timeout=timeout_seconds)
    ready, _ = ray.wait(pending, num_returns=len(pending), timeout=0)  # all that are by now
    return [by_reference[reference] for reference in ready]
