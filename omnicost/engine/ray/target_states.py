"""Which targets may start: those whose shared stages are done, unless one of them failed.

Where a chooser decides, targets are open until it names them, and their shared stages with them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from omnicost.engine.graph import Chooser, TargetPlan
from omnicost.engine.ray.tasks import failure_of, finished

OPEN, WAITING, RUNNING = "open", "waiting", "running"
DONE, STOPPED, FAILED = "done", "stopped", "failed"


@dataclass(frozen=True)
class Gate:
    """Lets targets in as they are chosen.

    Args:
        room: how many may be under way at once.
        submit: hands the shared stages of targets to Ray; key -> reference.
    """

    chooser: Chooser
    room: int
    submit: Callable[[Sequence[TargetPlan]], Mapping[str, Any]]


class Board:
    """The state of every target and shared stage while a graph is completed.

    Args:
        plans: the targets whose trial has to run.
        references: key -> Ray reference of the shared stages that were not in the store.
        on_change: called with a target's plan when its state changes.
        gate: lets targets in one by one; without it all are.
    """

    def __init__(
        self,
        plans: Iterable[TargetPlan],
        references: Mapping[str, Any],
        on_change: Callable[[TargetPlan, str], None] = lambda plan, state: None,
        gate: Gate | None = None,
    ) -> None:
        self.plans = {plan.target.id: plan for plan in plans}
        self.states = dict.fromkeys(self.plans, WAITING if gate is None else OPEN)
        self.causes: dict[str, str] = {}  # target -> why it failed
        self.stopped: dict[str, dict[str, Any]] = {}  # target -> last report of its student
        self.failed_stages: dict[str, str] = {}  # key -> cause
        self._open = dict(references)
        self._on_change = on_change
        self._gate = gate
        self._asked: dict[str, str] = {}  # states in which the chooser had nothing to add

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
        self._let_in()

    def _let_in(self) -> None:
        """Fill the room that the gate has, as its chooser decides."""
        gate = self._gate
        left = self.in_state(OPEN)
        while gate is not None and left and self._asked != self.states:
            under_way = [*self.in_state(WAITING), *self.in_state(RUNNING)]
            free = gate.room - len(under_way)
            chosen = gate.chooser.choose(left, under_way, free) if free > 0 else []
            if not chosen:
                self._asked = dict(self.states)
                return
            self._open.update(gate.submit([self.plans[target] for target in chosen]))
            for target in chosen:
                self.change(target, WAITING)
            left = self.in_state(OPEN)

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
