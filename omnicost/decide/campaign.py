"""Campaigns of measuring, simulated on a known truth: what deciding costs and what it loses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from omnicost.decide.belief import SHORT_BIAS, SHORT_CELL_SD, Belief
from omnicost.decide.choose import next_cells, rate
from omnicost.decide.worth import Worth

LEAST_AP = 0.5  # noise never takes a simulated student below


@dataclass(frozen=True)
class Limits:
    """When to stop measuring.

    Args:
        regret: once the expected regret is under this, in AP.
        device_hours: once as much was spent.
    """

    regret: float = 0.15
    device_hours: float = float("inf")


class Campaign(NamedTuple):
    """How one campaign went; regrets in AP, averaged over the budgets."""

    students: int
    device_hours: float
    expected_regret: float
    true_regret: float
    front_error: float  # mean absolute error of the cells' believed AP


class Students(NamedTuple):
    """What students of each cell would score, for simulations.

    Args:
        ap: ``(N,)`` true AP at the full schedule, percent.
        noise_sd: of one run.
        hours: device-hours at the full schedule and at each shorter one, ``(N * (1 + F),)``.
    """

    ap: np.ndarray
    noise_sd: float
    hours: np.ndarray

    def measure(self, index: int, biases: np.ndarray, rng: np.random.Generator) -> float:
        """One student's AP."""
        schedule, cell = divmod(index, len(self.ap))
        ap = self.ap[cell] * np.exp(biases[index]) if schedule else self.ap[cell]
        return max(LEAST_AP, float(ap + self.noise_sd * rng.standard_normal()))


def decided(
    belief: Belief, worth: Worth, students: Students, limits: Limits, seed: int
) -> Campaign:
    """Cells one at a time, as `omnicost.decide.choose` picks them, until a limit is reached."""
    rng = np.random.default_rng(seed)
    biases = SHORT_BIAS + SHORT_CELL_SD * rng.standard_normal(len(students.hours))
    hours, count = 0.0, 0
    while True:
        regret = rate(belief, worth, students.noise_sd, rng).regret if count else np.inf
        if regret < limits.regret or hours >= limits.device_hours or count >= 3 * len(students.ap):
            return _ended(belief, worth, students, count, hours, rng)
        chosen = next_cells(belief, worth, students.noise_sd, students.hours, 1)
        if not chosen:
            return _ended(belief, worth, students, count, hours, rng)
        score = students.measure(chosen[0], biases, rng)
        belief = belief.after(chosen[0], score, students.noise_sd)
        hours, count = hours + students.hours[chosen[0]], count + 1


def listed(
    belief: Belief, worth: Worth, students: Students, cells: Sequence[int], seed: int
) -> Campaign:
    """A campaign that measures a list of cells, whatever comes out."""
    rng = np.random.default_rng(seed)
    for cell in cells:
        score = students.measure(cell, np.zeros(len(students.hours)), rng)
        belief = belief.after(cell, score, students.noise_sd)
    hours = float(students.hours[list(cells)].sum())
    return _ended(belief, worth, students, len(cells), hours, rng)


def _ended(
    belief: Belief,
    worth: Worth,
    students: Students,
    count: int,
    hours: float,
    rng: np.random.Generator,
) -> Campaign:
    believed = belief.expected_ap
    return Campaign(
        students=count,
        device_hours=hours,
        expected_regret=rate(belief, worth, students.noise_sd, rng).regret,
        true_regret=float(worth.regret(believed, students.ap).mean()),
        front_error=float(np.abs(believed - students.ap).mean()),
    )
