"""How long a plan takes: its annotators simulated day by day, over draws of what is uncertain.

Every draw is a project of its own: annotators with speeds of their own, labelling times and
overheads as far off as their spreads say. All take work from one queue, the strongest type first.
What was labelled is reviewed from the next day on, before new labels; a share of it is done again
and reviewed again. Images flow: a day's last one may be finished in part.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Final, NamedTuple

import numpy as np

from omnicost.annotation import AnnotationType
from omnicost.cost import (
    SECONDS_PER_HOUR,
    Interval,
    LabellingTime,
    LabellingTimes,
    OverheadsByType,
    SpendDraws,
    draw_spend,
    interval,
)
from omnicost.cost.overheads import draw_shares
from omnicost.cost.times import PROJECT_LOG_SD, Learning, ProjectSpread
from omnicost.errors import InputError
from omnicost.plan import Plan

DAYS_A_WEEK: Final = 5
HOURS_A_WEEK: Final = 40.0
DRAWS: Final = 400
SURE: Final = 0.9
"""Chance of keeping a deadline that counts as keeping it."""
_STEPS: Final = 250
_NOTHING: Final = 1e-6
"""Seconds of waiting work that are rounding."""
_MOST_ANNOTATORS: Final = 1_000


@dataclass(frozen=True)
class Team:
    """Who labels, and by when.

    Attributes:
        annotators: how many work side by side.
        hours_a_week: paid hours of each.
        weeks: by when it should be done; None for no deadline.
        start: first day; None to count weeks only.
    """

    annotators: int
    hours_a_week: float = HOURS_A_WEEK
    weeks: float | None = None
    start: date | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.annotators <= _MOST_ANNOTATORS:
            remedy = f"give 1 to {_MOST_ANNOTATORS:,}"
            raise InputError("`annotators`", f"is {self.annotators}", remedy)
        if not 0 < self.hours_a_week <= 168:
            raise InputError("`hours_a_week`", f"is {self.hours_a_week:g}", "give over 0 to 168")
        if self.weeks is not None and not 0 < self.weeks < np.inf:
            raise InputError("`weeks`", f"is {self.weeks:g}", "give weeks over 0")


class TypeWeeks(NamedTuple):
    """When one type is worked on, in weeks from the start."""

    kind: AnnotationType
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
        found: date = np.busday_offset(self.team.start, max(place, 0), roll="forward").astype(date)
        return found


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
                kind,
                int(plan.new_labels[kind.strength]),
                float(run.begins[:, place].mean()),
                float(run.ends[:, place].mean()),
                interval(run.ends[:, place]),
                float(run.left[:, place].mean()),
            )
            for place, kind in enumerate(run.types)
        ),
        in_time=in_time,
        annotators_needed=None
        if deadline is None or in_time is None
        else _needed(plan, overheads, team, seed, draws),
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
        if high > _MOST_ANNOTATORS:
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
    types = tuple(
        kind
        for kind in reversed(AnnotationType)
        if kind is not AnnotationType.NONE and plan.new_labels[kind.strength]
    )
    worlds = _draw(plan, overheads, team, types, np.random.default_rng(seed), draws)
    setup = sum(overheads[kind].setup_hours for kind in types if kind in overheads)
    offset = setup / (team.annotators * team.hours_a_week)
    days = _Days(worlds, team, _step_days(plan, team, setup))
    while not days.finished():
        days.work()
    ends = offset + days.ends / DAYS_A_WEEK
    done = ends.max(axis=1) if types else np.full(draws, 0.0)
    return _Run(types, done, offset + days.begins / DAYS_A_WEEK, ends, days.left)


def _step_days(plan: Plan, team: Team, setup: float) -> float:
    """Length of a step: a day, or longer where that would take too many."""
    expected = (plan.hours + setup) / (team.annotators * team.hours_a_week / DAYS_A_WEEK)
    return max(1.0, expected / _STEPS)


@dataclass(frozen=True)
class _Worlds:
    """D draws of P types and A annotators."""

    images: np.ndarray  # (P,)
    seconds: np.ndarray  # (D, A, P) paid, of an image, at the log's mean
    review: np.ndarray  # (D, P)
    rework: np.ndarray  # (D, P)
    learning: tuple[Learning | None, ...]  # P


def _draw(
    plan: Plan,
    overheads: OverheadsByType,
    team: Team,
    types: tuple[AnnotationType, ...],
    rng: np.random.Generator,
    draws: int,
) -> _Worlds:
    places = [kind.strength for kind in types]
    images = plan.new_labels[places].astype(float)
    spend = draw_spend(plan.stats, _without_annotators(plan.times), rng, draws)
    seconds = spend.type_seconds[:, places] * _image_noise(spend, images, places)
    review, rework, idle = (one[:, places] for one in draw_shares(overheads, draws, rng))
    sds = np.array([annotator_log_sd(plan.times, kind) for kind in types])
    # The mean time of a log is that of a shared queue, where the mean of 1 / time is kept.
    normal = rng.standard_normal((draws, team.annotators, len(types)))
    speed = np.exp(sds * normal + sds**2 / 2)
    return _Worlds(
        images,
        (seconds / (1 - idle))[:, None, :] * speed,
        review,
        rework,
        tuple(main_time(plan.times, kind).learning for kind in types),
    )


def _image_noise(spend: SpendDraws, images: np.ndarray, places: list[int]) -> np.ndarray:
    """What is left of single images' spread in the mean of so many: factors (D, P), mean 1."""
    mean = spend.type_seconds[:, places]
    log_variance = np.log1p(spend.variance[places] / np.maximum(images, 1) / mean**2)
    factor: np.ndarray = np.exp(np.sqrt(log_variance) * spend.noise[:, places] - log_variance / 2)
    return factor


def main_time(times: LabellingTimes, kind: AnnotationType) -> LabellingTime:
    """The labelling time that most of a type's work is."""
    names = {AnnotationType.CLASS: "tag", AnnotationType.POINT: "point_first"}
    time: LabellingTime = getattr(times, names.get(kind, str(kind)))
    return time


def annotator_log_sd(times: LabellingTimes, kind: AnnotationType) -> float:
    """Log standard deviation of annotators' times of a type: measured, or the same assumption."""
    return float(getattr(times.project_log_sd, _spread_field(kind), PROJECT_LOG_SD))


def _spread_field(kind: AnnotationType) -> str:
    return "class_" if kind is AnnotationType.CLASS else str(kind)


def _without_annotators(times: LabellingTimes) -> LabellingTimes:
    """The times with the project-wide spread of measured types down to the error of their mean.

    Their spread was that between annotators, who are drawn one by one here.
    """
    spread = times.project_log_sd
    errors = {name: _log_error(times, name) for name in spread.measured}
    values = spread.model_dump(by_alias=True) | errors
    return times.model_copy(update={"project_log_sd": ProjectSpread.model_validate(values)})


def _log_error(times: LabellingTimes, name: str) -> float:
    measured = main_time(times, AnnotationType(name)).measured
    if measured is None or measured.interval[0] <= 0:
        return 0.0
    low, high = measured.interval
    return float(np.log(high / low)) / (2 * 1.96)


class _Days:
    """The state of D draws; a step is a day or a few."""

    def __init__(self, worlds: _Worlds, team: Team, step_days: float) -> None:
        draws, annotators, types = worlds.seconds.shape
        self.worlds, self.team, self.step, self.day = worlds, team, step_days, 0.0
        self.remaining = np.tile(worlds.images, (draws, 1))
        self.hours = np.zeros((draws, annotators, types))
        # Paid labelling seconds that wait: for review, to be done again, for a second review.
        self.check, self.redo, self.recheck = np.zeros((3, draws, types))
        self.begins, self.ends, self.last = np.full((3, draws, types), np.nan)
        self.left = np.zeros((draws, types))

    def finished(self) -> bool:
        """Whether every draw's last label is accepted."""
        return bool(np.isfinite(self.ends).all())

    def work(self) -> None:
        """One step of everybody."""
        each = self.step * self.team.hours_a_week / DAYS_A_WEEK * SECONDS_PER_HOUR
        before = self.remaining.copy()
        busy = self._review(each * self.team.annotators)
        time = np.repeat((each * (1 - busy))[:, None], self.team.annotators, axis=1)
        self.check += self._label(time, busy)
        self._settle()
        self._note_ends(busy)
        self._note_left(before)
        self.day += self.step

    def _note_ends(self, busy: np.ndarray) -> None:
        waiting = self.check + self.redo + self.recheck
        new = (self.remaining <= 0) & (waiting <= _NOTHING) & ~np.isfinite(self.ends)
        reviewed = self.day + self.step * busy[:, None]
        self.ends = np.where(new, np.fmax(self.last, reviewed), self.ends)

    def _note_left(self, before: np.ndarray) -> None:
        if self.team.weeks is None:
            return
        part = (self.team.weeks * DAYS_A_WEEK - self.day) / self.step
        if 0 < part <= 1:
            self.left = before + (self.remaining - before) * part

    def _review(self, capacity: float) -> np.ndarray:
        """Review and rework of earlier labels; returns the share of the step it took: (D,)."""
        review, rework = self.worlds.review, self.worlds.rework
        due = (review * (self.check + self.recheck) + self.redo).sum(axis=1)
        share = np.where(due > capacity, capacity / np.maximum(due, 1e-12), 1.0)[:, None]
        checked, redone, rechecked = (one * share for one in (self.check, self.redo, self.recheck))
        self.check = self.check - checked
        self.redo = self.redo - redone + rework * checked
        self.recheck = self.recheck - rechecked + redone
        busy: np.ndarray = np.minimum(due / capacity, 1.0)
        return busy

    def _settle(self) -> None:
        """What nobody reviews does not wait for a reviewer."""
        free = self.worlds.review <= 0
        self.redo = np.where(free, self.redo + self.worlds.rework * self.check, self.redo)
        self.check, self.recheck = (
            np.where(free, 0.0, self.check),
            np.where(free, 0.0, self.recheck),
        )

    def _label(self, time: np.ndarray, busy: np.ndarray) -> np.ndarray:
        """New labels in the seconds (D, A) that are left; returns labelling seconds (D, P)."""
        labelled = np.zeros_like(self.remaining)
        self.last = np.full(self.remaining.shape, np.nan)
        full = np.maximum(time.max(axis=1), 1e-12)
        for place, learning in enumerate(self.worlds.learning):
            before = 1 - time.max(axis=1) / full
            slow = slowness(self.hours[:, :, place], learning)
            rate = 1 / (self.worlds.seconds[:, :, place] * slow)
            most = (rate * time).sum(axis=1)
            todo = self.remaining[:, place]
            used = np.where(most > 0, np.minimum(todo / np.maximum(most, 1e-300), 1.0), 0.0)
            starts = (used > 0) & ~np.isfinite(self.begins[:, place])
            at = self.day + self.step * (busy + (1 - busy) * before)
            self.begins[starts, place] = at[starts]
            spent = time * used[:, None]
            self.remaining[:, place] = np.maximum(todo - most, 0.0)
            self.hours[:, :, place] += spent / SECONDS_PER_HOUR
            labelled[:, place] = spent.sum(axis=1)
            time = time - spent
            after = 1 - time.max(axis=1) / full
            ended = self.day + self.step * (busy + (1 - busy) * after)
            self.last[:, place] = np.where(used > 0, ended, np.nan)
        return labelled


def slowness(hours: np.ndarray, learning: Learning | None) -> np.ndarray:
    """How many times its mean of the log a label takes after so many hours of work."""
    if learning is None:
        return np.ones_like(hours)
    logged = learning.logged_hours / learning.hours
    mean = 1 + learning.extra * (1 - np.exp(-logged)) / logged
    factor: np.ndarray = (1 + learning.extra * np.exp(-hours / learning.hours)) / mean
    return factor
