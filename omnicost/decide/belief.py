"""What is believed of every cell's AP while only some are measured.

log AP of a cell is level + effect of its weak type + its slope over the share of masks + the
cell's own departure, all Gaussian; a measurement conditions them. A shorter schedule shows the same
plus a bias, common to its cells, and a departure; both are learnt from cells that have both. The
order of labels then bounds what was not measured: a weaker label, or fewer masks, is taken to be
worth no more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np

from omnicost.annotation import AnnotationType, Policy

# Standard deviations of log AP. Wide: over Table 2 a type's effect is 0.1 (COCO) to 0.7 (ADE20K),
# a tenth of masks adds 0.05 to 0.36, and a cell departs from that by about 0.03.
LEVEL_SD: Final = 1.0
TYPE_SD: Final = 0.35
TYPE_STEP: Final = 0.1  # of each type over the weaker one before it
SLOPE: Final = 0.06  # of a tenth of masks over none
SLOPE_SD: Final = 0.06
CELL_SD: Final = 0.03
PRIOR_AP: Final = 25.0
SHORT_BIAS: Final = -0.15  # a third of the steps, tiny world (24.0 against 26.9, 25.9 against 30.0)
SHORT_BIAS_SD: Final = 0.15
SHORT_CELL_SD: Final = 0.02
ORDER_FAILS: Final = 0.1  # on Cityscapes lone points lie under class tags (Table 2)
_TENTH: Final = 0.1  # the share at which a slope counts in full
_FIRST_SHARE: Final = 0.002  # masks that make the first difference


@dataclass(frozen=True)
class Belief:
    """A Gaussian over log AP of N cells, at the full schedule and at F shorter ones.

    Args:
        policies: the N cells.
        mean: ``(N * (1 + F),)``, the full schedule's first.
        covariance: of the same.
        measured: indices of the cells measured at the full schedule, in order.
    """

    policies: tuple[Policy, ...]
    mean: np.ndarray
    covariance: np.ndarray
    measured: tuple[int, ...] = ()

    def after(self, index: int, ap: float, sd: float) -> Belief:
        """The belief once a student of that cell has scored.

        Args:
            index: of the cell at the full schedule; N more for each shorter schedule.
            ap: in percent.
            sd: of one run, in AP.
        """
        full = index < len(self.policies)
        noise = (sd / ap) ** 2
        gain = self.covariance[:, index] / (self.covariance[index, index] + noise)
        return replace(
            self,
            mean=self.mean + gain * (np.log(ap) - self.mean[index]),
            covariance=self.covariance - np.outer(gain, self.covariance[index]),
            measured=tuple(dict.fromkeys((*self.measured, index))) if full else self.measured,
        )

    @cached_property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """``(N,)`` lowest and highest log AP that the measured cells leave each other cell."""
        count = len(self.policies)
        low, high = np.full(count, -np.inf), np.full(count, np.inf)
        for cell in range(count):
            if cell in self.measured:
                continue
            below = [
                m for m in self.measured if worth_no_more(self.policies[m], self.policies[cell])
            ]
            above = [
                m for m in self.measured if worth_no_more(self.policies[cell], self.policies[m])
            ]
            low[cell] = max((self.mean[m] for m in below), default=-np.inf)
            # Noise can put a measured cell above a better one: the middle of both then serves.
            high[cell] = max(min((self.mean[m] for m in above), default=np.inf), low[cell])
        return low, high

    def ap(self, log_ap: np.ndarray) -> np.ndarray:
        """``(..., N)`` AP in percent at the full schedule, within the bounds."""
        low, high = self.bounds
        return np.exp(np.clip(log_ap[..., : len(low)], low, high))

    @property
    def expected_ap(self) -> np.ndarray:
        """``(N,)`` what a plan would take each cell to be worth, in percent."""
        return self.ap(self.mean)

    def draw(self, rng: np.random.Generator, draws: int) -> np.ndarray:
        """``(draws, N)`` AP in percent; in one of ten the order of labels does not hold."""
        count = len(self.policies)
        full = self.covariance[:count, :count]
        log_ap = rng.multivariate_normal(self.mean[:count], full, draws, method="eigh")
        unordered = rng.random((draws, 1)) < ORDER_FAILS
        return np.where(unordered, np.exp(log_ap), self.ap(log_ap))


def worth_no_more(one: Policy, other: Policy) -> bool:
    """Whether the order of labels makes a cell of one weak type worth at most another."""
    masks_no_more = one.mask_share <= other.mask_share
    return masks_no_more and weakest(one).strength <= weakest(other).strength


def weakest(policy: Policy) -> AnnotationType:
    """The label of the images without masks; mask if all have them."""
    return min(policy.weak_types, key=lambda kind: kind.strength, default=AnnotationType.MASK)


def prior_belief(policies: Sequence[Policy], shorter: int = 0) -> Belief:
    """What is believed before anything was measured.

    Args:
        shorter: how many shorter schedules there are.
    """
    kinds = sorted({weakest(policy) for policy in policies}, key=lambda kind: kind.strength)
    place = np.array([kinds.index(weakest(policy)) for policy in policies])
    rise = np.array([_rise(policy) for policy in policies])
    alike = TYPE_SD**2 + np.outer(rise, rise) * SLOPE_SD**2
    own = np.eye(len(policies)) * CELL_SD**2
    covariance = LEVEL_SD**2 + (place[:, None] == place) * alike + own
    mean = np.log(PRIOR_AP) + TYPE_STEP * (place - place.mean()) + SLOPE * rise
    schedules = np.arange(1 + shorter)
    bias = np.diag(np.where(schedules > 0, SHORT_BIAS_SD**2, 0.0))
    departure = np.diag(np.where(schedules > 0, SHORT_CELL_SD**2, 0.0))
    return Belief(
        tuple(policies),
        (np.where(schedules > 0, SHORT_BIAS, 0.0)[:, None] + mean).ravel(),
        np.tile(covariance, (1 + shorter, 1 + shorter))
        + np.kron(bias, np.ones_like(covariance))
        + np.kron(departure, np.eye(len(policies))),
    )


def _rise(policy: Policy) -> float:
    """A cell's place on its type's slope: 0 without masks, 1 at a tenth; all masks have none."""
    share = policy.mask_share
    if not share or not policy.weak_types:
        return 0.0
    return float(np.log1p(share / _FIRST_SHARE) / np.log1p(_TENTH / _FIRST_SHARE))
