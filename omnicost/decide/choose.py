"""The next cells to measure: those whose measurement is expected to lower a plan's regret most.

Knowledge gradient: after measuring a cell the believed AP of all cells moves along one direction by
a standard normal; the expected worth of the best plan over that normal, less the worth of today's
best plan, is what the measurement gains (Frazier, Powell, Dayanik 2009, correlated beliefs).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from omnicost.decide.belief import Belief
from omnicost.decide.worth import Worth

_NODES = norm.ppf((np.arange(24) + 0.5) / 24)  # of equal probability: worths have kinks
DRAWS = 400


@dataclass(frozen=True)
class Rating:
    """What measuring more is worth now.

    Args:
        regret: AP that today's plans are expected to lose, on average over the budgets.
        gain: AP by which one measurement of each cell, at each schedule, is expected to lower that.
    """

    regret: float
    gain: np.ndarray


def rate(belief: Belief, worth: Worth, noise_sd: float, rng: np.random.Generator) -> Rating:
    """Rate every cell; measured ones too, whose repeat sharpens them.

    Args:
        noise_sd: of one run, in AP.
    """
    regret = worth.regret(belief.expected_ap, belief.draw(rng, DRAWS)).mean()
    gains = [gain_of(belief, worth, cell, noise_sd) for cell in range(len(belief.mean))]
    return Rating(float(regret), np.array(gains))


def gain_of(belief: Belief, worth: Worth, cell: int, noise_sd: float) -> float:
    """AP that one measurement of a cell is expected to add to the plans made afterwards.

    Args:
        cell: as of `Belief.after`.
    """
    noise = (noise_sd / np.exp(belief.mean[cell])) ** 2
    variance = belief.covariance[cell, cell]
    step = belief.covariance[:, cell] / np.sqrt(variance + noise)
    moved = belief.ap(belief.mean + _NODES[:, None] * step)
    later = worth.best(moved).mean()
    # Against the same average without a choice, so that rounding of exp and bounds cancels.
    today = (moved @ worth.choose(belief.expected_ap).T).mean()
    return max(0.0, float(later - today))


def next_cells(
    belief: Belief,
    worth: Worth,
    noise_sd: float,
    cost_hours: np.ndarray,
    count: int,
    running: tuple[int, ...] = (),
) -> list[int]:
    """The cells to start now, best first: expected fall of regret per device-hour.

    Those that run, and those chosen before in this call, are taken to score as believed, so that a
    batch does not ask the same question twice.

    Args:
        cost_hours: device-hours of one measurement of each cell at each schedule.
        running: cells that are being measured.
    """
    imagined = belief
    for cell in running:
        imagined = _as_believed(imagined, cell, noise_sd)
    chosen: list[int] = []
    for _ in range(count):
        gains = np.array([gain_of(imagined, worth, n, noise_sd) for n in range(len(cost_hours))])
        gains[[*running, *chosen]] = -1.0
        best = int(np.argmax(gains / cost_hours))
        if gains[best] <= 0:
            break
        chosen.append(best)
        imagined = _as_believed(imagined, best, noise_sd)
    return chosen


def _as_believed(belief: Belief, cell: int, noise_sd: float) -> Belief:
    return belief.after(cell, float(np.exp(belief.mean[cell])), noise_sd)
