"""Prices of policies for a whole project, with intervals from draws common to all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from omnicost.annotation import AnnotationType, Policy
from omnicost.cost.seconds import DEFAULT_TIMES, SECONDS_PER_HOUR, hours, saving, seconds_per_image
from omnicost.cost.spread import Interval, draw_spend, interval
from omnicost.cost.stats import DatasetStats
from omnicost.cost.times import LabellingTimes

LEVEL: Final = 0.8
DRAWS: Final = 4_000


class Price(NamedTuple):
    """What a policy costs on all images of a project; intervals hold `LEVEL` of the draws."""

    policy: Policy
    seconds_per_image: float
    hours: float
    hours_interval: Interval
    saving: float
    """How many times cheaper than masks on every image."""
    saving_interval: Interval


def price(
    policies: Sequence[Policy], stats: DatasetStats, times: LabellingTimes = DEFAULT_TIMES
) -> list[Price]:
    """Prices of the policies on `stats.images` images under the same drawn worlds."""
    draws = draw_spend(stats, times, np.random.default_rng(0), DRAWS)
    spend = draws.spend_seconds(np.array([_images(policy, stats) for policy in policies]))
    full = draws.spend_seconds(_images(Policy.cell(AnnotationType.MASK, 1), stats))
    return [_price(policy, stats, times, spend[i], full) for i, policy in enumerate(policies)]


def _price(
    policy: Policy, stats: DatasetStats, times: LabellingTimes, spend: np.ndarray, full: np.ndarray
) -> Price:
    seconds = seconds_per_image(policy, stats, times)
    free = np.full_like(full, np.inf)
    savings = np.divide(full, spend, out=free, where=spend > 0)
    return Price(
        policy=policy,
        seconds_per_image=seconds,
        hours=hours(seconds * stats.images),
        hours_interval=interval(spend / SECONDS_PER_HOUR, LEVEL),
        saving=saving(policy, stats, times),
        saving_interval=interval(savings, LEVEL) if seconds > 0 else Interval(np.inf, np.inf),
    )


def _images(policy: Policy, stats: DatasetStats) -> np.ndarray:
    return stats.images * np.array([policy[annotation] for annotation in AnnotationType])
