"""How long a plan takes: its annotators simulated day by day, over draws of what is uncertain.

Every draw is a project of its own: annotators with speeds of their own, labelling times and
overheads as far off as their spreads say. All take work from one queue, the strongest type first.
What was labelled is reviewed from the next day on, before new labels; a share of it is done again
and reviewed again. Images flow: a day's last one may be finished in part.
"""

from __future__ import annotations

from datetime import date
from typing import Final, NamedTuple

import numpy as np

from omnicost.annotation import AnnotationType
from omnicost.campaign.days import Days
from omnicost.campaign.team import DAYS_A_WEEK, MOST_ANNOTATORS, Team
from omnicost.campaign.worlds import draw_worlds
from omnicost.cost import Interval, OverheadsByType, interval
from omnicost.plan import Plan

DRAWS: Final = 400
SURE: Final = 0.9
"""Chance of keeping a deadline that counts as keeping it."""
_STEPS: Final = 250


class TypeWeeks(NamedTuple):
    """When one type is worked on, in weeks from the start."""

    annotation: AnnotationType
    images: int
    begins: float
    ends: float
    ends_interval: Interval
    """Of the last accepted label; 80%."""
    left: float
    """Images expected not to be labelled at the deadline; 0 without one."""


class Calendar(NamedTuple):
    """When a plan is done.

    Attributes:
        team: who does it.
        weeks: expected weeks, of so many draws.
        weeks_interval: 80% of the draws.
        types: in the order of work.
        in_time: chance to keep the deadline; None without one.
        annotators_needed: fewest that keep it with a chance of `SURE`; None without a deadline, or
            where no number does.
        draws: (D,) weeks.
    """

    team: Team
    weeks: float
    weeks_interval: Interval
    types: tuple[TypeWeeks, ...]
    in_time: float | None
    annotators_needed: int | None
    draws: np.ndarray

    def day(self, weeks: float) -> date | None:
        """The working day on which what takes so many weeks is done."""
        return self._working_day(int(np.ceil(DAYS_A_WEEK * weeks - 1e-9)) - 1)

    def first_day(self, weeks: float) -> date | None:
        """The working day on which what begins so many weeks from the start begins."""
        return self._working_day(int(DAYS_A_WEEK * weeks))

    def _working_day(self, place: int) -> date | None:
        if self.team.start is None:
            return None
        found = np.busday_offset(self.team.start, max(place, 0), roll="forward").astype(date)
        return found if isinstance(found, date) else None  # numpy goes on after the year 9999


def simulate(
    plan: Plan, overheads: OverheadsByType, team: Team, seed: int = 0, draws: int = DRAWS
) -> Calendar:
    """When the team is done with a plan that was made with these overheads."""
    run = _run(plan, overheads, team, seed, draws)
    deadline = team.weeks
    in_time = None if deadline is None else float((run.done <= deadline).mean())
    return Calendar(
        team=team,
        weeks=float(run.done.mean()),
        weeks_interval=interval(run.done),
        types=tuple(
            TypeWeeks(
                annotation,
                int(plan.new_labels[annotation.strength]),
                float(run.begins[:, place].mean()),
                float(run.ends[:, place].mean()),
                interval(run.ends[:, place]),
                float(run.left[:, place].mean()),
            )
            for place, annotation in enumerate(run.types)
        ),
        in_time=in_time,
        annotators_needed=None if deadline is None else _needed(plan, overheads, team, seed, draws),
        draws=run.done,
    )


def _needed(
    plan: Plan, overheads: OverheadsByType, team: Team, seed: int, draws: int
) -> int | None:
    """The fewest annotators that keep the deadline in `SURE` of the draws, by bisection."""

    def keeps(annotators: int) -> bool:
        other = Team(annotators, team.hours_a_week, team.weeks)
        done = _run(plan, overheads, other, seed, min(draws, 200)).done
        return bool((done <= (team.weeks or np.inf)).mean() >= SURE)

    low, high = 0, 1
    while not keeps(high):
        low, high = high, 2 * high
        if high > MOST_ANNOTATORS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if keeps(middle) else (middle, high)
    return high


class _Run(NamedTuple):
    """Weeks of each draw; P types in the order of work."""

    types: tuple[AnnotationType, ...]
    done: np.ndarray  # (D,)
    begins: np.ndarray  # (D, P)
    ends: np.ndarray  # (D, P)
    left: np.ndarray  # (D, P) images not labelled at the deadline


def _run(plan: Plan, overheads: OverheadsByType, team: Team, seed: int, draws: int) -> _Run:
    types = plan.labelled
    worlds = draw_worlds(plan, overheads, team, types, np.random.default_rng(seed), draws)
    setup = sum(overheads[each].setup_hours for each in types if each in overheads)
    offset = setup / (team.annotators * team.hours_a_week)
    days = Days(worlds, team, _step_days(plan, team, setup), offset)
    while not days.finished():
        days.work()
    ends = offset + days.ends / DAYS_A_WEEK
    done = ends.max(axis=1) if types else np.full(draws, 0.0)
    return _Run(types, done, offset + days.begins / DAYS_A_WEEK, ends, days.left)


def _step_days(plan: Plan, team: Team, setup: float) -> float:
    """Length of a step: a day, or longer where that would take too many."""
    expected = (plan.hours + setup) / (team.annotators * team.hours_a_week / DAYS_A_WEEK)
    return max(1.0, expected / _STEPS)
