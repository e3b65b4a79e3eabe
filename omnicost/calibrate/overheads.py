"""Review, rework, idle and set-up time, where a log shows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from omnicost.annotation import AnnotationType
from omnicost.calibrate.timings import Timings
from omnicost.cost import SECONDS_PER_HOUR, Overheads
from omnicost.cost.overheads import MOST

BREAK_SECONDS: Final = 1800.0
"""A longer gap between two pieces of work ends a session; nobody is paid for it."""
LEAST_GAPS: Final = 20
LEAST_HOURS: Final = 2.0
"""Work under which one long pause would pass for a habit."""


def find_overheads(timings: Timings, idle_rows: np.ndarray) -> Mapping[AnnotationType, Overheads]:
    """Overheads of every type that the log shows any of.

    Review, rework and set-up come from rows whose activity says so; a log in which none does says
    nothing of them. Idle time is the gaps inside sessions and what idle rows took beyond their
    annotator's usual time; a log without times of day, or of a few minutes, says nothing of it.

    Args:
        timings: all rows.
        idle_rows: (T,) bool, those that the idle filter dropped.
    """
    names = [label.removesuffix("_further") for label in timings.labels]
    types = np.array([AnnotationType(name) for name in names], dtype=object)
    gaps, shown = session_gaps(timings), set(timings.activities)
    return {
        one: Overheads().given(**values)
        for one in dict.fromkeys(types)
        if (values := _of_type(timings, types == one, idle_rows, gaps, shown))
    }


def _of_type(
    timings: Timings, own: np.ndarray, idle_rows: np.ndarray, gaps: np.ndarray, shown: set[str]
) -> dict[str, float]:
    def seconds(activity: str) -> float:
        return float(timings.seconds[own & ~idle_rows & (timings.activities == activity)].sum())

    label, rework = seconds("label"), seconds("rework")
    if not label:
        return {}
    values: dict[str, float] = {}
    if "review" in shown:
        values["review"] = round(min(seconds("review") / (label + rework), MOST), 4)
    if "rework" in shown:
        values["rework"] = round(min(rework / label, MOST), 4)
    if "setup" in shown:
        values["setup_hours"] = round(seconds("setup") / SECONDS_PER_HOUR, 4)
    worked = float(timings.seconds[own & ~idle_rows].sum())
    enough = worked >= LEAST_HOURS * SECONDS_PER_HOUR
    if enough and np.isfinite(gaps[own]).sum() >= LEAST_GAPS:
        idle = float(np.nansum(gaps[own])) + _excess(timings, own, idle_rows)
        values["idle"] = round(min(idle / (worked + idle), 0.9), 4)
    return values


def _excess(timings: Timings, own: np.ndarray, idle_rows: np.ndarray) -> float:
    """Seconds of idle rows beyond the median of one annotation, as often as they had any."""
    each = timings.seconds / timings.counts
    usual = float(np.median(each[own & ~idle_rows]))
    dropped = own & idle_rows
    beyond = np.maximum(timings.seconds[dropped] - usual * timings.counts[dropped], 0)
    return float(np.minimum(beyond, BREAK_SECONDS).sum())


def session_gaps(timings: Timings) -> np.ndarray:
    """Seconds between the end of a row's predecessor and its start: (T,) float64.

    NaN where a row opens a session or nothing is known; rows that overlap have no gap.
    """
    gaps = np.full(len(timings), np.nan)
    for own in timings.in_order():
        between = np.diff(timings.ended[own]) - timings.seconds[own[1:]]
        gaps[own[1:]] = np.where(between <= BREAK_SECONDS, np.maximum(between, 0.0), np.nan)
    return gaps
