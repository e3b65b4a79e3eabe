"""The next students to train: those whose score is expected to lower a plan's regret most.

Knowledge gradient: after measuring a cell the believed AP of all cells moves along one direction by
a standard normal; the expected worth of the best plan over that normal, less the worth of today's
best plan, is what the measurement gains (Frazier, Powell, Dayanik 2009, correlated beliefs).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import norm

from omnicost.decide.belief import Belief
from omnicost.decide.prices import Offer, PricedStudent
from omnicost.decide.worth import Worth

_NODES = norm.ppf((np.arange(24) + 0.5) / 24)  # of equal probability: worths have kinks
DRAWS = 400


class Choice(NamedTuple):
    """An offer that was taken, and the AP by which it is expected to lower the regret."""

    offer: Offer
    gain: float

    @property
    def rate(self) -> float:
        """AP a device-hour."""
        return self.gain / self.offer.hours


def expected_regret(belief: Belief, worth: Worth, rng: np.random.Generator) -> float:
    """AP that today's plans are expected to lose, on average over the budgets."""
    return float(worth.regret(belief.expected_ap, belief.draw(rng, DRAWS)).mean())


def gain_of(belief: Belief, worth: Worth, student: PricedStudent, noise_sd: float) -> float:
    """AP that one student's score is expected to add to the plans made afterwards.

    Args:
        noise_sd: of one run beside its seed's effect, in AP.
    """
    seen = belief.seen(*student)
    noise = (noise_sd / np.exp(seen.mean)) ** 2
    step = seen.covariance / np.sqrt(seen.variance + noise)
    moved = belief.ap(belief.mean + _NODES[:, None] * step)
    later = worth.best(moved).mean()
    # Against the same average without a choice, so that rounding of exp and bounds cancels.
    today = (moved @ worth.choose(belief.expected_ap).T).mean()
    return max(0.0, float(later - today))


def next_students(
    belief: Belief,
    worth: Worth,
    noise_sd: float,
    offers: Sequence[Offer],
    count: int,
    running: Sequence[PricedStudent] = (),
) -> list[Choice]:
    """What to start now, best first: expected fall of regret per device-hour.

    Those that run, and those chosen before in this call, are taken to score as believed, so that a
    batch does not ask the same question twice. No cell is chosen twice at one schedule.

    Args:
        running: the students that are being trained.
    """
    imagined = belief
    for student in running:
        imagined = _as_believed(imagined, student, noise_sd)
    left, chosen = list(offers), list[Choice]()
    while left and len(chosen) < count:
        rated = [Choice(each, gain_of(imagined, worth, each.student, noise_sd)) for each in left]
        best = max(rated, key=lambda choice: choice.rate)
        if best.gain <= 0 and belief.measured:  # a first score alone may tell no plan from another
            break
        chosen.append(best)
        student = best.offer.student
        left = [offer for offer in left if offer.student.coordinate != student.coordinate]
        imagined = _as_believed(imagined, student, noise_sd)
    return chosen


def _as_believed(belief: Belief, student: PricedStudent, noise_sd: float) -> Belief:
    ap = float(np.exp(belief.seen(*student).mean))
    return belief.after(student.coordinate, ap, noise_sd, student.seed)
