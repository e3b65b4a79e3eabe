"""Shared stages as Ray tasks whose object references are their dependencies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from omnicost.sweep.cluster import ray_options
from omnicost.sweep.execute import Outcome, StageFailure, execute
from omnicost.sweep.graph import Stage
from omnicost.sweep.store import Store


def submit(store: Store, stages: Iterable[Stage]) -> dict[str, Any]:
    """Hand the stages to Ray, inputs before what reads them.

    Returns:
        key -> object reference of the stage's `Outcome`. A reference fails if its stage did, or
        one that it reads; Ray passes the first cause on.
    """
    references: dict[str, Any] = {}
    for stage in stages:
        waits_for = [references[key] for key in stage.inputs.values() if key in references]
        references[stage.key] = submit_one(store, stage, waits_for)
    return references


def submit_one(store: Store, stage: Stage, waits_for: Iterable[Any] = ()) -> Any:
    """Hand one stage to Ray; lost workers and raising stages are tried again."""
    import ray

    task = ray.remote(run_stage).options(
        name=stage.label,
        max_retries=stage.resources.retries,
        retry_exceptions=[StageFailure],
        scheduling_strategy="DEFAULT",  # not inside the placement group of a trial that asks
        **ray_options(stage.resources),
    )
    return task.remote(str(store.root), stage, *waits_for)


def run_stage(root: str, stage: Stage, *_waited_for: Outcome) -> Outcome:
    """The task itself, on whichever node Ray chose."""
    return execute(Store(Path(root), create=False), stage)


def failure_of(reference: Any) -> str | None:
    """Why a finished reference failed, in one line; None if it did not."""
    import ray

    try:
        ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        return first_line(error.cause)
    except ray.exceptions.RayError as error:
        return f"{type(error).__name__}: {first_line(error)}"
    return None


def first_line(error: BaseException | str) -> str:
    """The first line of an error's text, or its type if it has none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def finished(references: Mapping[str, Any], timeout_seconds: float) -> list[str]:
    """Keys whose reference is ready, failed ones included; waits for one up to the timeout."""
    import ray

    if not references:
        return []
    by_reference = {reference: key for key, reference in references.items()}
    ready, _ = ray.wait(list(by_reference), num_returns=1, timeout=timeout_seconds)
    if ready:  # whatever else is ready by now
        pending = list(by_reference)
        ready, _ = ray.wait(pending, num_returns=len(pending), timeout=0)
    return [by_reference[reference] for reference in ready]
