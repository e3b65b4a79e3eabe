"""Which targets may start: those whose shared stages are done, unless one of them failed.

Where a chooser decides, targets are open until it names them, and their shared stages with them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from omnicost.engine.graph import Chooser, TargetPlan
from omnicost.engine.ray.tasks import Submitter, failure_of, finished

OPEN, WAITING, RUNNING = "open", "waiting", "running"
DONE, STOPPED, FAILED = "done", "stopped", "failed"
OnChange = Callable[[TargetPlan[Any], str], None]  # called with a target and its new state
_POLL_SECONDS: Final = 1.0


@dataclass(frozen=True)
class Gate:
    """Lets targets in as they are chosen.

    Args:
        room: how many may be under way at once.
        submitter: hands the shared stages of targets to Ray.
    """

    chooser: Chooser
    room: int
    submitter: Submitter


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
        on_change: OnChange,
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
        for target in self.in_state(WAITING):
            failed = self.plans[target].waits_for & self.failed_stages.keys()
            if failed:
                self.change(target, FAILED, self.failed_stages[min(failed)])
        self._let_in()

    def _let_in(self) -> None:
        """Fill the room that the gate has, as its chooser decides."""
        gate = self._gate
        while gate is not None and (left := self.in_state(OPEN)) and self._asked != self.states:
            under_way = [*self.in_state(WAITING), *self.in_state(RUNNING)]
            free = gate.room - len(under_way)
            chosen = gate.chooser.choose(left, under_way, free) if free > 0 else []
            if not chosen:
                self._asked = dict(self.states)
                return
            # At once, so that what the chosen have in common makes its passes.
            asked = [stage.key for target in chosen for stage in self.plans[target].stages]
            self._open.update(gate.submitter.submit(asked))
            for target in chosen:
                self.change(target, WAITING)

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

    def wait_for_ready(self) -> bool:
        """Wait until a target may start; False if none ever will while nothing runs."""
        while True:
            self.settle()
            if self.next_ready() is not None:
                return True
            if not self.in_state(WAITING):
                return False
            self.settle(_POLL_SECONDS)

    def wait_for_stages(self) -> None:
        """Wait for the shared stages that no trial reads, such as a teacher's scores."""
        while self._open:
            self.settle(_POLL_SECONDS)
