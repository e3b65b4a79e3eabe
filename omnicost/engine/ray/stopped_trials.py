"""Trials that a scheduler stopped: remembered in the store, scored from their last checkpoint."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from omnicost.engine.graph import TargetPlan
from omnicost.engine.ray.tasks import failure_of, submit_one
from omnicost.engine.resources import SchedulerSpec
from omnicost.engine.store import Store
from omnicost.files import write_json

_MARK: Final = "stopped.json"


@dataclass(frozen=True)
class Stopped:
    """How far a stopped trial came.

    Args:
        report: the last figures that it reported, with its `step` and `total`.
        scores: key of the artefact that scores its last checkpoint; None if there is none.
    """

    report: Mapping[str, Any]
    scores: str | None = None


def remembered(
    plans: Iterable[TargetPlan], store: Store, scheduler: SchedulerSpec | None
) -> dict[str, Stopped]:
    """Targets that the same scheduler stopped in an earlier sweep, so that they stay stopped."""
    if scheduler is None:
        return {}
    found = {}
    for plan in plans:
        path = _mark_path(plan, store)
        if path is None or not path.exists():
            continue
        mark = json.loads(path.read_text())
        if mark["scheduler"] == scheduler.model_dump(mode="json"):
            found[plan.target.id] = Stopped(mark["report"], mark["scores"])
    return found


def salvage(
    plans: Mapping[str, TargetPlan],
    reports: Mapping[str, Mapping[str, Any]],
    store: Store,
    scheduler: SchedulerSpec,
) -> dict[str, Stopped]:
    """Score what stopped trials left, on Ray, and leave a mark that they were stopped."""
    stages = {}
    for target, report in reports.items():
        if (stage := plans[target].salvage) is not None:
            params = stage.params.model_copy(update={"step": report["step"]})  # `StoppedParams`
            stages[target] = replace(stage, params=params)
    references = {target: submit_one(store, stage) for target, stage in stages.items()}
    found = {}
    for target, report in reports.items():
        scored = target in references and failure_of(references[target]) is None
        found[target] = Stopped(report, stages[target].key if scored else None)
        path = _mark_path(plans[target], store)
        if path is not None:
            own = {"scheduler": scheduler.model_dump(mode="json")}
            write_json(path, own | asdict(found[target]))
    return found


def _mark_path(plan: TargetPlan, store: Store) -> Path | None:
    """Beside the checkpoints of the first stage that the trial did not finish."""
    unfinished = (key for key in plan.trial if not store.has(key))
    return next((store.work(key) / _MARK for key in unfinished), None)
