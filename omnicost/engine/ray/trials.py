"""Cells as Ray Tune trials, released when the shared stages that they read are done.

Ray is imported inside `run_trials`, which also defines the classes that derive from Tune's.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omnicost.engine.execute import StageFailure, execute
from omnicost.engine.graph import CellPlan, Stage
from omnicost.engine.ray.cell_states import DONE, FAILED, RUNNING, STOPPED, WAITING, Board
from omnicost.engine.ray.distributed import run_distributed
from omnicost.engine.ray.tasks import submit_one
from omnicost.engine.resources import SchedulerSpec
from omnicost.engine.store import Store
from omnicost.errors import StageError
from omnicost.progress import Progress

STEP = "step"  # what Tune's schedulers count time in
_REFUSED = "refused"  # reported instead of raised, so that Tune does not try again
_NEVER = 10**9  # ASHA's own default would stop every student at its hundredth step
# Of a trial whose training reserves its own workers: a byte, since any share of a CPU would leave
# too little for as many workers as there are CPUs.
_NEXT_TO_NOTHING = {"memory": 1}


def run_trials(board: Board, store: Store, scratch: Path, scheduler: SchedulerSpec | None) -> None:
    """Run the board's cells to their end; afterwards each is done, stopped or failed.

    Args:
        scratch: folder for what Tune writes; nothing is ever restored from it.
    """
    if not board.wait_for_ready():  # Tune must not start without a cell: it would block
        return
    from ray import tune

    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = "1"
    stages = {cell: trial_stages(plan) for cell, plan in board.plans.items()}
    trainable = _trainable(store.root, stages, scheduler)
    retries = max(stage.resources.retries for own in stages.values() for stage in own)
    tuner = tune.Tuner(
        tune.with_resources(trainable, lambda config: trial_resources(stages[config["cell"]])),
        tune_config=tune.TuneConfig(
            search_alg=make_searcher(board),
            scheduler=None if scheduler is None else make_scheduler(scheduler, board),
            num_samples=len(stages),
            reuse_actors=scheduler is None,  # a process that is kept need not import torch again
        ),
        run_config=tune.RunConfig(
            name="cells",
            storage_path=str(scratch),
            failure_config=tune.FailureConfig(max_failures=retries),
            verbose=0,
        ),
    )
    tuner.fit()
    for cell in (*board.in_state(RUNNING), *board.in_state(WAITING)):
        board.change(cell, FAILED, "Ray Tune ended before the cell did")


def trial_stages(plan: CellPlan) -> tuple[Stage, ...]:
    """The stages that the cell's own trial runs, in order."""
    own = {stage.key: stage for stage in plan.stages if stage.key in set(plan.trial)}
    return tuple(own[key] for key in plan.trial)


def trial_resources(stages: tuple[Stage, ...]) -> Any:
    """What Tune reserves: the most that a stage asks for, or next to nothing for Ray Train.

    `TorchTrainer` makes a placement group of its own; a trial that held its workers' share would
    wait for itself.
    """
    from ray.tune import PlacementGroupFactory

    if _is_distributed(stages):
        return PlacementGroupFactory([dict(_NEXT_TO_NOTHING)])
    asked = [stage.resources for stage in stages]
    bundle = {"CPU": max(r.cpus for r in asked), "GPU": max(r.gpus for r in asked)}
    memory = max(r.memory_gb or 0.0 for r in asked)
    if memory:
        bundle["memory"] = memory * 1e9
    return PlacementGroupFactory([{kind: need for kind, need in bundle.items() if need}])


def _is_distributed(stages: tuple[Stage, ...]) -> bool:
    return any(stage.resources.workers > 1 for stage in stages)


def _trainable(
    root: Path, stages: Mapping[str, tuple[Stage, ...]], scheduler: SchedulerSpec | None
) -> Any:
    """The function that Tune runs for a cell."""
    metric = None if scheduler is None else scheduler.metric

    def run_cell(config: dict[str, Any]) -> None:
        from ray import tune

        try:
            run_cell_stages(root, stages[config["cell"]], _reporter(metric))
        except StageFailure:
            raise
        except StageError as error:
            tune.report({_REFUSED: str(error)})
            return
        tune.report({"finished": True})

    return run_cell


def run_cell_stages(root: Path, stages: tuple[Stage, ...], observe: Progress | None) -> None:
    """Run a cell's own stages one after the other.

    Beside a distributed stage the others become tasks: the trial itself holds no device.
    """
    import ray

    store = Store(root, create=False)
    distributed = _is_distributed(stages)
    for stage in stages:
        if stage.resources.workers > 1:
            execute(store, stage, observe, run_distributed)
        elif distributed:
            ray.get(submit_one(store, stage))
        else:
            execute(store, stage, observe)


def _reporter(metric: str | None) -> Progress | None:
    """Tells Tune's scheduler of the metric; reporting blocks a trial, so only when it is needed."""
    if metric is None:
        return None

    def report(done: int, total: int, figures: dict[str, Any]) -> None:
        from ray import tune

        if metric in figures:
            tune.report({STEP: done, "total": total, metric: figures[metric], "figures": figures})

    return report


def make_searcher(board: Board) -> Any:
    """A `Searcher` that hands out the board's cells as they become ready."""
    from ray.tune.search import Searcher

    class CellSearcher(Searcher):
        def __init__(self) -> None:
            super().__init__()
            self._cells: dict[str, str] = {}  # trial -> cell

        def suggest(self, trial_id: str) -> Any:
            board.settle()
            plan = board.next_ready()
            if plan is None and not board.in_state(RUNNING):
                # Nothing runs: Tune would poll with its eyes shut. Here Ctrl-C gets through.
                plan = board.next_ready() if board.wait_for_ready() else None
            if plan is None:
                return None if board.in_state(WAITING) else Searcher.FINISHED
            cell = plan.cell.id
            self._cells[trial_id] = cell
            board.change(cell, RUNNING)
            return {"cell": cell}

        def on_trial_complete(
            self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
        ) -> None:
            cell = self._cells.pop(trial_id, None)
            if cell is not None:
                _settle_trial(board, cell, result or {}, error)

        def __deepcopy__(self, memo: object) -> Any:
            return self  # it stays in this process

        def __reduce__(self) -> Any:
            return (Searcher, ())  # Tune's snapshot is never restored

        def save(self, checkpoint_path: str) -> None:
            Path(checkpoint_path).write_bytes(b"")

        def restore(self, checkpoint_path: str) -> None:
            raise NotImplementedError("a sweep resumes from its store")

    return CellSearcher()


def _settle_trial(board: Board, cell: str, result: dict[str, Any], error: bool) -> None:
    if error:
        board.change(cell, FAILED, "its trial failed")
    elif _REFUSED in result:
        board.change(cell, FAILED, str(result[_REFUSED]))
    elif result.get("finished"):
        board.change(cell, DONE)
    else:
        board.stopped[cell] = result
        board.change(cell, STOPPED)


def make_scheduler(spec: SchedulerSpec, board: Board) -> Any:
    """Tune's scheduler, one of its own for each group of variants.

    Raises:
        InputError: if Tune refuses the options.
    """
    from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, MedianStoppingRule

    make = {"asha": ASHAScheduler, "median": MedianStoppingRule}[spec.name]
    defaults: dict[str, Any] = {"max_t": _NEVER} if spec.name == "asha" else {}
    options = {**defaults, **spec.options}

    class GroupedScheduler(FIFOScheduler):
        """Compares a cell with its variants only: cheap labels are never stopped for dear ones."""

        def __init__(self) -> None:
            super().__init__()
            self._groups: dict[str, Any] = {}

        def _of(self, trial: Any) -> Any:
            group = board.plans[trial.config["cell"]].cell.group
            if group not in self._groups:
                self._groups[group] = make(
                    time_attr=STEP, metric=spec.metric, mode=spec.mode, **options
                )
            return self._groups[group]

        def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
            self._of(trial).on_trial_add(tune_controller, trial)

        def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
            self._of(trial).on_trial_error(tune_controller, trial)

        def on_trial_result(self, tune_controller: Any, trial: Any, result: dict) -> str:
            if spec.metric not in result or result[STEP] >= result["total"]:
                return self.CONTINUE  # a student at its end goes on to its scores
            return self._of(trial).on_trial_result(tune_controller, trial, result)

        def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict) -> None:
            if spec.metric in result:
                self._of(trial).on_trial_complete(tune_controller, trial, result)

        def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
            self._of(trial).on_trial_remove(tune_controller, trial)

        def debug_string(self) -> str:
            return f"{spec.name}, a group for each cell"

    return GroupedScheduler()
