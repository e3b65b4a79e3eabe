"""Campaigns of training, simulated on a known truth: what deciding costs and what it loses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from omnicost.decide.belief import SHORT_BIAS, SHORT_BIAS_SD, SHORT_CELL_SD, Belief
from omnicost.decide.choose import expected_regret, next_students
from omnicost.decide.prices import PricedStudent, Prices
from omnicost.decide.worth import Worth


@dataclass(frozen=True)
class Limits:
    """When to stop training.

    Args:
        regret: once the expected regret is under this, in AP.
        device_hours: no student is started that would take the sum over this.
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


class TrueScores(NamedTuple):
    """What students would score, for simulations.

    Args:
        ap: ``(N,)`` of each cell at the full schedule, percent.
        noise_sd: of one run beside its seed's effect, in AP.
        seed_sd: of what all runs of a seed share, in log AP.
        shorter: how many shorter schedules there are.
        bias: of log AP, of the students that are trained against those that are meant (a trunk's).
    """

    ap: np.ndarray
    noise_sd: float
    seed_sd: float = 0.0
    shorter: int = 0
    bias: np.ndarray | float = 0.0


class Scores:
    """Draws what students score: biases of schedules and effects of seeds once, scatter anew."""

    def __init__(self, truth: TrueScores, seeds: int, rng: np.random.Generator) -> None:
        self._truth = truth
        self._rng = rng
        cells = len(truth.ap)
        common = SHORT_BIAS + SHORT_BIAS_SD * rng.standard_normal((truth.shorter, 1))
        departures = SHORT_CELL_SD * rng.standard_normal((truth.shorter, cells))
        self._bias = np.vstack([np.zeros(cells), common + departures]) + truth.bias
        self._seed = truth.seed_sd * rng.standard_normal(seeds)

    def of(self, student: PricedStudent) -> float:
        """One student's AP."""
        effect = self._bias.flat[student.coordinate] + self._seed[student.seed]
        ap = self._truth.ap[student.coordinate % len(self._truth.ap)] * np.exp(effect)
        return float(ap + self._truth.noise_sd * self._rng.standard_normal())


def decided(
    belief: Belief,
    worth: Worth,
    truth: TrueScores,
    prices: Prices,
    limits: Limits,
    seed: int,
    done: Sequence[PricedStudent] = (),
    paid: frozenset[str] = frozenset(),
) -> Campaign:
    """Students one at a time, as `omnicost.decide.choose` picks them, until a limit is reached.

    Args:
        done: students that the belief knows already.
        paid: stages that are there beside theirs.
    """
    rng = np.random.default_rng(seed)
    scores = Scores(truth, belief.seeds, rng)
    taken, hours = list(done), 0.0
    paid = prices.needed(done) | paid
    while not belief.measured or expected_regret(belief, worth, rng) >= limits.regret:
        offers = prices.offers(taken, paid)
        offers = [each for each in offers if hours + each.hours <= limits.device_hours]
        chosen = next_students(belief, worth, truth.noise_sd, offers, 1)
        if not chosen:
            break
        student, price = chosen[0].offer
        belief = belief.after(student.coordinate, scores.of(student), truth.noise_sd, student.seed)
        hours += price
        taken.append(student)
        paid |= prices.stages[student]
    return ended(belief, worth, truth, len(taken) - len(done), hours, rng)


def ended(
    belief: Belief,
    worth: Worth,
    truth: TrueScores,
    count: int,
    hours: float,
    rng: np.random.Generator,
) -> Campaign:
    """A campaign of so many students and hours, judged by what it left to believe."""
    believed = belief.expected_ap
    return Campaign(
        students=count,
        device_hours=hours,
        expected_regret=expected_regret(belief, worth, rng),
        true_regret=float(worth.regret(believed, truth.ap).mean()),
        front_error=float(np.abs(believed - truth.ap).mean()),
    )
