"""Which targets may start: those whose shared stages are done, unless one of them failed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from omnicost.engine.graph import TargetPlan
from omnicost.engine.ray.tasks import failure_of, finished

WAITING, RUNNING, DONE, STOPPED, FAILED = "waiting", "running", "done", "stopped", "failed"


class Board:
    """The state of every target and shared stage while a graph is completed.

    Args:
        plans: the targets whose trial has to run.
        references: key -> Ray reference of the shared stages that were not in the store.
        on_change: called with a target's plan when its state changes.
    """

    def __init__(
        self,
        plans: Iterable[TargetPlan],
        references: Mapping[str, Any],
        on_change: Callable[[TargetPlan, str], None] = lambda plan, state: None,
    ) -> None:
        self.plans = {plan.target.id: plan for plan in plans}
        self.states = dict.fromkeys(self.plans, WAITING)
        self.causes: dict[str, str] = {}  # target -> why it failed
        self.stopped: dict[str, dict[str, Any]] = {}  # target -> last report of its student
        self.failed_stages: dict[str, str] = {}  # key -> cause
        self._open = dict(references)
        self._on_change = on_change

    @property
    def groups(self) -> dict[str, str]:
        """Target -> its group."""
        return {target: plan.target.group for target, plan in self.plans.items()}

    def settle(self, timeout_seconds: float = 0.0) -> None:
        """Take note of the stages that ended; wait for one up to the timeout."""
        for key in finished(self._open, timeout_seconds):
            cause = failure_of(self._open.pop(key))
            if cause is not None:
                self.failed_stages[key] = cause
        if self.failed_stages:
            for target, state in list(self.states.items()):
                if state == WAITING:
                    self._fail_if_needed(target)

    def _fail_if_needed(self, target: str) -> None:
        for key in self.plans[target].waits_for:
            if key in self.failed_stages:
                self.change(target, FAILED, self.failed_stages[key])
                return

    def change(self, target: str, state: str, cause: str = "") -> None:
        """Set a target's state."""
        self.states[target] = state
        if cause:
            self.causes[target] = cause
        self._on_change(self.plans[target], state)

    def next_ready(self) -> TargetPlan | None:
        """The first waiting target that has what it reads.

        A target whose own stages another one's trial computes stays back.
        """
        busy = {key for target in self.in_state(RUNNING) for key in self.plans[target].trial}
        for target in self.in_state(WAITING):
            plan = self.plans[target]
            if not plan.waits_for & set(self._open) and not busy & set(plan.trial):
                return plan
        return None

    def in_state(self, state: str) -> list[str]:
        """The targets in a state, in the graph's order."""
        return [target for target, current in self.states.items() if current == state]

    def wait_for_ready(self, poll_seconds: float = 1.0) -> bool:
        """Wait until a target may start; False if none ever will while nothing runs."""
        while True:
            self.settle()
            if self.next_ready() is not None:
                return True
            if not self.in_state(WAITING):
                return False
            self.settle(poll_seconds)

    def wait_for_stages(self, poll_seconds: float = 1.0) -> None:
        """Wait for the shared stages that no trial reads, such as a teacher's scores."""
        while self._open:
            self.settle(poll_seconds)
