"""How annotators get faster in their first hours, where a log shows it."""

from __future__ import annotations

from operator import itemgetter
from typing import Final

import numpy as np

from omnicost.calibrate.timings import Timings
from omnicost.cost import SECONDS_PER_HOUR
from omnicost.cost.times import Learning

HOURS: Final = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Time constants that are tried."""
LEAST_ROWS: Final = 60
LEAST_T: Final = 3.0
"""Standard errors from none that count as shown: a drift within a day is not learning."""


def find_learning(rows: Timings) -> Learning | None:
    """The learning in the rows of one label, in the order in which they ended; None if none shows.

    Least squares of the log seconds of one annotation on `exp(-hours worked / H)`, each annotator
    with a level of their own, over several H.
    """
    worked, logs, people = _ordered(rows)
    if len(logs) < LEAST_ROWS:
        return None
    shown = []
    for hours in HOURS:
        if worked.max() < hours:
            break
        slope, error, residual = _fit(np.exp(-worked / hours), logs, people)
        if slope > LEAST_T * error:
            shown.append((residual, slope, hours))
    if not shown:
        return None
    _, slope, hours = min(shown, key=itemgetter(0))
    longest = [float(worked[people == who].max()) for who in set(people)]
    return Learning(
        extra=round(min(float(np.expm1(slope)), 20.0), 4),
        hours=hours,
        logged_hours=round(float(np.mean(longest)), 4),
    )


def _ordered(rows: Timings) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hours worked before each row, its log seconds and its annotator: three arrays (R,)."""
    orders = rows.in_order()
    before = [np.cumsum(rows.seconds[own]) - rows.seconds[own] for own in orders]
    ordered = rows.select(np.concatenate(orders))
    logs = np.log(ordered.seconds / ordered.counts)
    return np.concatenate(before) / SECONDS_PER_HOUR, logs, ordered.annotators


def _fit(x: np.ndarray, y: np.ndarray, people: np.ndarray) -> tuple[float, float, float]:
    """Slope within annotators, its standard error, and the sum of squares left."""
    x, y = x.copy(), y.copy()
    names = set(people)
    for who in names:
        own = people == who
        x[own] -= x[own].mean()
        y[own] -= y[own].mean()
    spread = float((x**2).sum())
    if spread == 0:
        return 0.0, np.inf, float((y**2).sum())
    slope = float((x * y).sum()) / spread
    left = float(((y - slope * x) ** 2).sum())
    freedom = max(len(y) - len(names) - 1, 1)
    return slope, float(np.sqrt(left / freedom / spread)), left
