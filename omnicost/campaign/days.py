"""The days of a team's work, in all draws at once."""

from __future__ import annotations

from typing import Final

import numpy as np

from omnicost.campaign.team import DAYS_A_WEEK, Team
from omnicost.campaign.worlds import AnnotatorDraws
from omnicost.cost import SECONDS_PER_HOUR
from omnicost.cost.times import Learning

_NOTHING: Final = 1e-6
"""Seconds of waiting work that are rounding."""


class Days:
    """The state of D draws; a step is a day or a few."""

    def __init__(
        self, worlds: AnnotatorDraws, team: Team, step_days: float, set_up_weeks: float = 0.0
    ) -> None:
        draws, annotators, types = worlds.seconds.shape
        self.worlds, self.team, self.step, self.day = worlds, team, step_days, 0.0
        self.remaining = np.tile(worlds.images, (draws, 1))
        self.hours = np.zeros((draws, annotators, types))
        # Paid labelling seconds that wait: for review, to be done again, for a second review.
        self.check, self.redo, self.recheck = np.zeros((3, draws, types))
        self.begins, self.ends, self.last = np.full((3, draws, types), np.nan)
        # Set-up comes before day 0, and the deadline so much sooner after it.
        weeks = np.inf if team.weeks is None else team.weeks - set_up_weeks
        self.deadline = weeks * DAYS_A_WEEK
        self.left = self.remaining * (self.deadline <= 0)

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
        part = (self.deadline - self.day) / self.step
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
        self.check = np.where(free, 0.0, self.check)
        self.recheck = np.where(free, 0.0, self.recheck)

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
