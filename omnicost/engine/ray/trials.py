"""Targets as Ray Tune trials, released when the shared stages that they read are done."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, MedianStoppingRule
from ray.tune.search import Searcher

from omnicost.engine.execute import StageFailure, execute
from omnicost.engine.graph import Stage
from omnicost.engine.ray.cluster import demands, room_for
from omnicost.engine.ray.distributed import LOST, call_on_workers
from omnicost.engine.ray.target_states import (
    DONE,
    FAILED,
    OPEN,
    RUNNING,
    STOPPED,
    WAITING,
    Board,
)
from omnicost.engine.ray.tasks import first_line, submit_one, told_by
from omnicost.engine.resources import SchedulerSpec
from omnicost.engine.store import Store
from omnicost.errors import StageError
from omnicost.progress import Progress

STEP = "step"  # what Tune's schedulers count time in
_REFUSED = "refused"  # reported instead of raised, so that Tune does not try again
_FAILED = "failed"  # reported before it is raised: why, should Tune not try again
_NEVER = 10**9  # ASHA's own default would stop every student at its hundredth step
_SCHEDULERS = {"asha": partial(ASHAScheduler, max_t=_NEVER), "median": MedianStoppingRule}
# Of a trial whose training reserves its own workers: a byte, since any share of a CPU would leave
# too little for as many workers as there are CPUs.
_NEXT_TO_NOTHING = {"memory": 1}


def conduct_trials(
    board: Board, store: Store, scratch: Path, scheduler: SchedulerSpec | None
) -> None:
    """Bring the board's targets to their end; afterwards each is done, stopped or failed.

    Args:
        scratch: folder for what Tune writes; nothing is ever restored from it.
    """
    while board.wait_for_ready():  # again, if Tune itself fell over one trial
        tuner = _tuner(board, store, scratch, scheduler)
        cause = "Ray Tune ended before it did"
        try:
            tuner.fit()
        except Exception as error:  # of Tune: a trial's own never get here
            cause = f"Ray Tune failed: {first_line(error)}"
        # What was running has failed; if nothing was, all that waits: it would end likewise.
        for target in board.in_state(RUNNING) or board.in_state(WAITING):
            board.change(target, FAILED, cause)


def _tuner(
    board: Board, store: Store, scratch: Path, scheduler: SchedulerSpec | None
) -> tune.Tuner:
    stages = {target: plan.own_stages for target, plan in board.plans.items()}
    trial = _trial(store.root, stages, None if scheduler is None else scheduler.metric)
    retries = max((s.resources.retries for own in stages.values() for s in own), default=0)
    return tune.Tuner(
        tune.with_resources(trial, lambda config: trial_resources(stages[config["target"]])),
        tune_config=tune.TuneConfig(
            search_alg=TargetSearcher(board),
            scheduler=None if scheduler is None else GroupedScheduler(scheduler, board.groups),
            num_samples=len(board.in_state(WAITING)) + len(board.in_state(OPEN)),
            reuse_actors=scheduler is None and _may_keep(board),
        ),
        run_config=tune.RunConfig(
            name=f"targets-{len(board.in_state(WAITING))}",
            storage_path=str(scratch),
            failure_config=tune.FailureConfig(max_failures=retries),
            verbose=0,
        ),
    )


def _may_keep(board: Board) -> bool:
    """Whether Tune may keep a process that ended for the next trial, which spares importing torch.

    It keeps its devices: shared stages that trials wait for would never get the only one.
    """
    return room_for(board.plans.values()) > 1 and not board.in_state(OPEN)


def trial_resources(stages: tuple[Stage, ...]) -> tune.PlacementGroupFactory:
    """What Tune reserves: the most that a stage asks for, or next to nothing for Ray Train.

    `TorchTrainer` makes a placement group of its own; a trial that held its workers' share would
    wait for itself.
    """
    if _is_distributed(stages):
        return tune.PlacementGroupFactory([dict(_NEXT_TO_NOTHING)])
    most: dict[str, float] = {}
    for stage in stages:
        for kind, need in demands(stage.resources).items():
            most[kind] = max(need, most.get(kind, 0.0))
    return tune.PlacementGroupFactory([most])


def _is_distributed(stages: tuple[Stage, ...]) -> bool:
    return any(stage.resources.workers > 1 for stage in stages)


def _trial(
    root: Path, stages: Mapping[str, tuple[Stage, ...]], metric: str | None
) -> Callable[[dict[str, Any]], None]:
    """The function that Tune calls for a target."""

    def trial(config: dict[str, Any]) -> None:
        own = stages[config["target"]]
        try:
            execute_trial(root, own, _reporter(metric))
        except Exception as error:
            refused = isinstance(error, StageError) and not isinstance(error, StageFailure)
            tune.report({_REFUSED if refused else _FAILED: told_by(error, own[0])})
            if not refused:
                raise
        else:
            tune.report({"finished": True})

    return trial


def execute_trial(root: Path, stages: tuple[Stage, ...], observe: Progress | None) -> None:
    """Execute a target's own stages one after the other.

    Beside a distributed stage the others become tasks: the trial itself holds no device.
    """
    store = Store(root, create=False)
    distributed = _is_distributed(stages)
    for stage in stages:
        if stage.resources.workers > 1:
            execute(store, stage, observe, call_on_workers)
        elif distributed:
            ray.get(submit_one(store, stage))
        else:
            execute(store, stage, observe)


def _reporter(metric: str | None) -> Progress | None:
    """Tells Tune's scheduler of the metric; reporting blocks a trial, so only when it is needed."""
    if metric is None:
        return None

    def report(done: int, total: int, figures: dict[str, Any]) -> None:
        if metric in figures:
            tune.report({STEP: done, "total": total, metric: figures[metric], "figures": figures})

    return report


class TargetSearcher(Searcher):
    """Hands out the board's targets as they become ready."""

    def __init__(self, board: Board) -> None:
        super().__init__()
        self._board = board
        self._targets: dict[str, str] = {}  # trial -> target
        self._causes: dict[str, str] = {}  # trial -> why it failed last

    def suggest(self, trial_id: str) -> Any:
        """The next target; None while all are waiting, or may yet be chosen."""
        board = self._board
        board.settle()
        plan = board.next_ready()
        if plan is None and not board.in_state(RUNNING):
            # Nothing runs: Tune would poll with its eyes shut. Here Ctrl-C gets through.
            plan = board.next_ready() if board.wait_for_ready() else None
        if plan is None:
            may_be_chosen = board.in_state(RUNNING) and board.in_state(OPEN)
            return None if board.in_state(WAITING) or may_be_chosen else Searcher.FINISHED
        target = plan.target.id
        self._targets[trial_id] = target
        board.change(target, RUNNING)
        return {"target": target}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Note why a trial is about to fail."""
        if _FAILED in result:
            self._causes[trial_id] = str(result[_FAILED])

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Note how a target's trial ended."""
        target = self._targets.pop(trial_id, None)
        cause = self._causes.pop(trial_id, LOST) if error else ""
        if target is not None:
            _settle_trial(self._board, target, result or {}, cause)

    def __deepcopy__(self, memo: object) -> TargetSearcher:
        return self  # it stays in this process

    def __reduce__(self) -> Any:
        return (Searcher, ())  # Tune's snapshot is never restored

    def save(self, checkpoint_path: str) -> None:
        """Write nothing worth restoring."""
        Path(checkpoint_path).write_bytes(b"")


def _settle_trial(board: Board, target: str, result: dict[str, Any], cause: str) -> None:
    if cause:
        board.change(target, FAILED, cause)
    elif _REFUSED in result:
        board.change(target, FAILED, str(result[_REFUSED]))
    elif result.get("finished"):
        board.change(target, DONE)
    else:
        board.stopped[target] = result
        board.change(target, STOPPED)


class GroupedScheduler(FIFOScheduler):
    """Tune's scheduler, one of its own for each group of variants.

    A target is compared with its variants only: cheap labels are never stopped for dear ones.

    Args:
        groups: target -> its group.

    Raises:
        TypeError, ValueError: if Tune refuses the options.
    """

    def __init__(self, spec: SchedulerSpec, groups: Mapping[str, str]) -> None:
        super().__init__()
        self._spec = spec
        self._groups = dict(groups)
        self._schedulers: dict[str, FIFOScheduler] = {}

    def _of(self, trial: Any) -> FIFOScheduler:
        group = self._groups[trial.config["target"]]
        if group not in self._schedulers:
            spec = self._spec
            self._schedulers[group] = _SCHEDULERS[spec.name](
                time_attr=STEP, metric=spec.metric, mode=spec.mode, **spec.options
            )
        return self._schedulers[group]

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Tell the group's scheduler."""
        self._of(trial).on_trial_add(tune_controller, trial)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """Tell the group's scheduler."""
        self._of(trial).on_trial_error(tune_controller, trial)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict) -> str:
        """Ask the group's scheduler; a student at its end goes on to its scores."""
        if self._spec.metric not in result or result[STEP] >= result["total"]:
            return self.CONTINUE
        return self._of(trial).on_trial_result(tune_controller, trial, result)

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict) -> None:
        """Tell the group's scheduler."""
        if self._spec.metric in result:
            self._of(trial).on_trial_complete(tune_controller, trial, result)

    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
        """Tell the group's scheduler."""
        self._of(trial).on_trial_remove(tune_controller, trial)
