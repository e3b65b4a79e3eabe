"""Trials that a scheduler stopped: remembered in the store, scored from their last checkpoint."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from omnicost.engine.graph import CellPlan
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
    plans: Iterable[CellPlan], store: Store, scheduler: SchedulerSpec | None
) -> dict[str, Stopped]:
    """Cells that the same scheduler stopped in an earlier run, so that they stay stopped."""
    found = {}
    for plan in plans:
        path = _mark_path(plan, store)
        if scheduler is None or path is None or not path.exists():
            continue
        mark = json.loads(path.read_text())
        if mark["scheduler"] == scheduler.model_dump(mode="json"):
            found[plan.cell.id] = Stopped(mark["report"], mark["scores"])
    return found


def salvage(
    plans: Mapping[str, CellPlan],
    reports: Mapping[str, Mapping[str, Any]],
    store: Store,
    scheduler: SchedulerSpec,
) -> dict[str, Stopped]:
    """Score what stopped trials left, on Ray, and leave a mark that they were stopped."""
    stages = {
        cell: replace(stage, params={**stage.params, "step": reports[cell]["step"]})
        for cell, plan in plans.items()
        if cell in reports and (stage := plan.salvage) is not None
    }
    references = {cell: submit_one(store, stage) for cell, stage in stages.items()}
    found = {}
    for cell, report in reports.items():
        scored = cell in references and failure_of(references[cell]) is None
        found[cell] = Stopped(report, stages[cell].key if scored else None)
        path = _mark_path(plans[cell], store)
        if path is not None:
            mark = {"scheduler": scheduler.model_dump(mode="json"), "report": dict(report)}
            write_json(path, {**mark, "scores": found[cell].scores})
    return found


def _mark_path(plan: CellPlan, store: Store) -> Path | None:
    """Beside the checkpoints of the first stage that the trial did not finish."""
    for key in plan.trial:
        if not store.has(key):
            return store.work(key) / _MARK
    return None
