"""What is believed of every cell's AP while only some are measured.

log AP of a cell is level + effect of its weak type + its slope over the share of masks + the
cell's own departure, all Gaussian; a measurement conditions them. Effects are a random walk over
the types, so that neighbours in strength are alike. A shorter schedule shows the same plus a bias,
common to its cells, and a departure; both are learnt from cells that have both. What all students
of a seed have in common is a coordinate of its own, so that cells of one seed tell more about each
other than about the level. Most likely a weaker label, or fewer masks, is worth no more: that order
bounds what was not measured, as far as the measured cells leave it likely.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Final, NamedTuple

import numpy as np
from scipy.special import ndtr

from omnicost.annotation import AnnotationType, Policy

# Standard deviations of log AP. Wide: over Table 2 the types span 0.15 (COCO) to 0.94 (ADE20K),
# a tenth of masks adds 0.05 to 0.36, and a cell departs from that by about 0.03.
LEVEL_SD: Final = 1.0
TYPE_SD: Final = 0.5  # of the strongest type's effect against the weakest's
TYPE_STEP: Final = 0.1  # of each type over the weaker one before it
SLOPE: Final = 0.06  # of a tenth of masks over none
SLOPE_SD: Final = 0.06
CELL_SD: Final = 0.03
PRIOR_AP: Final = 25.0
SHORT_BIAS: Final = -0.15  # a third of the steps, tiny world (24.0 against 26.9, 25.9 against 30.0)
SHORT_BIAS_SD: Final = 0.15
SHORT_CELL_SD: Final = 0.02
ORDER_FAILS: Final = 0.1  # before anything is measured; on Cityscapes points lie under class tags
LEAST_AP: Final = 0.5  # what scores less is taken to score this: its logarithm would tell too much
_LEAST_VARIANCE: Final = 1e-12
_THIRD: Final = 1 / 3
_TENTH: Final = 0.1  # the share at which a slope counts in full
_FIRST_SHARE: Final = 0.002  # masks that make the first difference


class Seen(NamedTuple):
    """What one student's score says of the coordinates.

    Args:
        mean: of its log AP, as believed before.
        covariance: with each coordinate.
        variance: of its log AP, the run's own scatter left out.
    """

    mean: float
    covariance: np.ndarray
    variance: float


@dataclass(frozen=True)
class Belief:
    """A Gaussian over log AP of N cells at the full schedule and F shorter ones, and S seeds.

    Args:
        policies: the N cells.
        mean: ``(N * (1 + F) + S,)``, the full schedule's first, the seeds' effects last.
        covariance: of the same.
        in_order: ``(N, N)`` chance that the row's cell was worth at most the column's, before
            anything was measured.
        seeds: S.
        measured: indices of the cells measured at the full schedule, in order.
    """

    policies: tuple[Policy, ...]
    mean: np.ndarray
    covariance: np.ndarray
    in_order: np.ndarray
    seeds: int = 1
    measured: tuple[int, ...] = ()

    def seen(self, index: int, seed: int = 0) -> Seen:
        """What a student of that cell and seed would tell.

        Args:
            index: of the cell at the full schedule; N more for each shorter schedule.
            seed: position among the seeds.
        """
        parts = [index, len(self.mean) - self.seeds + seed]
        covariance = self.covariance[:, parts].sum(axis=1)
        return Seen(float(self.mean[parts].sum()), covariance, float(covariance[parts].sum()))

    def after(self, index: int, ap: float, sd: float, seed: int = 0) -> Belief:
        """The belief once a student of that cell has scored.

        Args:
            index, seed: as of `seen`.
            ap: in percent.
            sd: of one run beside its seed's effect, in AP.
        """
        ap = max(ap, LEAST_AP)
        seen = self.seen(index, seed)
        gain = seen.covariance / (seen.variance + (sd / ap) ** 2)
        full = index < len(self.policies)
        return replace(
            self,
            mean=self.mean + gain * (np.log(ap) - seen.mean),
            covariance=self.covariance - np.outer(gain, seen.covariance),
            measured=tuple(dict.fromkeys((*self.measured, index))) if full else self.measured,
        )

    @cached_property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """``(N,)`` lowest and highest log AP that the measured cells leave each other cell."""
        count, known = len(self.policies), list(self.measured)
        if not known:
            return np.full(count, -np.inf), np.full(count, np.inf)
        order, mean = order_of(self.policies), self.mean[known]
        low = np.where(order[known].T, mean, -np.inf).max(axis=1)
        # Noise can put a measured cell above a better one: the middle of both then serves.
        high = np.maximum(np.where(order[:, known], mean, np.inf).min(axis=1), low)
        low[known], high[known] = -np.inf, np.inf
        return low, high

    @cached_property
    def order_fails(self) -> float:
        """Chance that the order of labels does not hold here.

        By the two measured cells that speak most against it: how likely they are in order now,
        against how likely they were.
        """
        known = np.array(self.measured, int)
        pairs = np.ix_(known, known)
        ordered = order_of(self.policies)[pairs] & ~np.eye(len(known), dtype=bool)
        if not ordered.any():
            return ORDER_FAILS
        now = _in_order(self.mean[known], self.covariance[pairs])
        ratio = (now / self.in_order[pairs])[ordered].min()
        return float(ORDER_FAILS / (ORDER_FAILS + (1 - ORDER_FAILS) * ratio))

    def ap(self, log_ap: np.ndarray) -> np.ndarray:
        """``(..., N)`` AP in percent at the full schedule, bounded as far as the order holds."""
        low, high = self.bounds
        cells = log_ap[..., : len(low)]
        fails = self.order_fails
        bounded: np.ndarray = np.exp(np.clip(cells, low, high))
        return (1 - fails) * bounded + fails * np.exp(cells)

    @property
    def expected_ap(self) -> np.ndarray:
        """``(N,)`` what a plan would take each cell to be worth, in percent."""
        return self.ap(self.mean)

    def draw(self, rng: np.random.Generator, draws: int) -> np.ndarray:
        """``(draws, N)`` AP in percent, in some of which the order of labels does not hold."""
        count = len(self.policies)
        full = self.covariance[:count, :count]
        log_ap = rng.multivariate_normal(self.mean[:count], full, draws, method="eigh")
        unordered = rng.random((draws, 1)) < self.order_fails
        return np.exp(np.where(unordered, log_ap, np.clip(log_ap, *self.bounds)))


def _in_order(mean: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """``(N, N)`` chance that the row's cell is worth at most the column's."""
    variance = np.diag(covariance)
    spread = np.sqrt(np.maximum(variance[:, None] + variance - 2 * covariance, _LEAST_VARIANCE))
    chance: np.ndarray = ndtr((mean - mean[:, None]) / spread)
    return chance


@lru_cache(maxsize=64)
def order_of(policies: tuple[Policy, ...]) -> np.ndarray:
    """``(N, N) bool``: whether the order of labels makes a cell worth at most another."""
    return np.array([[worth_no_more(one, other) for other in policies] for one in policies])


def worth_no_more(one: Policy, other: Policy) -> bool:
    """Whether the order of labels makes a cell of one weak type worth at most another."""
    masks_no_more = one.mask_share <= other.mask_share
    return masks_no_more and weakest(one).strength <= weakest(other).strength


def weakest(policy: Policy) -> AnnotationType:
    """The label of the images without masks; mask if all have them."""
    return min(policy.weak_types, key=lambda each: each.strength, default=AnnotationType.MASK)


def prior_belief(
    policies: Sequence[Policy], shorter: Sequence[float] = (), seed_sds: Sequence[float] = (0.0,)
) -> Belief:
    """What is believed before anything was measured.

    Args:
        shorter: share of the full schedule's steps of each shorter one.
        seed_sds: spread of log AP that all students of a seed share, for each seed.
    """
    types = sorted({weakest(policy) for policy in policies}, key=lambda each: each.strength)
    place = np.array([types.index(weakest(policy)) for policy in policies])
    rise = np.array([_rise(policy) for policy in policies])
    effects = TYPE_SD**2 * np.minimum(place[:, None], place) / max(1, len(types) - 1)
    slopes = (place[:, None] == place) * np.outer(rise, rise) * SLOPE_SD**2
    cells = LEVEL_SD**2 + effects + slopes + np.eye(len(policies)) * CELL_SD**2
    mean = np.log(PRIOR_AP) + TYPE_STEP * (place - place.mean()) + SLOPE * rise
    thirds = np.array([0.0, *(np.log(share) / np.log(_THIRD) for share in shorter)])
    covariance = (
        np.tile(cells, (len(thirds), len(thirds)))
        + np.kron(np.diag((SHORT_BIAS_SD * thirds) ** 2), np.ones_like(cells))
        + np.kron(np.diag((SHORT_CELL_SD * thirds) ** 2), np.eye(len(cells)))
    )
    students, seeds = len(covariance), len(seed_sds)
    whole = np.zeros((students + seeds, students + seeds))
    whole[:students, :students] = covariance
    whole[students:, students:] = np.diag(np.square(seed_sds))
    means = (SHORT_BIAS * thirds[:, None] + mean).ravel()
    in_order = _in_order(mean, cells)
    return Belief(tuple(policies), np.append(means, np.zeros(seeds)), whole, in_order, seeds)


def _rise(policy: Policy) -> float:
    """A cell's place on its type's slope: 0 without masks, 1 at a tenth; all masks have none."""
    share = policy.mask_share
    if not share or not policy.weak_types:
        return 0.0
    return float(np.log1p(share / _FIRST_SHARE) / np.log1p(_TENTH / _FIRST_SHARE))
