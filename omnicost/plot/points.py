"""Result rows to priced points: one a policy, averaged over seeds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from omnicost.annotation import AnnotationType, Policy
from omnicost.errors import InputError

if TYPE_CHECKING:
    from omnicost.results import Row


class CostUnit(StrEnum):
    """What the cost axis counts."""

    SECONDS = "seconds"
    HOURS = "hours"
    MONEY = "money"


class Point(NamedTuple):
    """One policy of one data set, averaged over its seeds."""

    policy: Policy
    cost: float
    ap: float
    ap_sd: float
    """Sample standard deviation over seeds in AP; NaN for one seed."""
    seeds: int

    @property
    def annotation(self) -> AnnotationType | None:
        """The weak type; mask at 100% masks; None for a mixture of weak types."""
        weak = self.policy.weak_types
        if not weak:
            return AnnotationType.MASK
        return weak[0] if len(weak) == 1 else None

    @property
    def mask_share(self) -> float:
        """Share of the images with masks."""
        return self.policy.mask_share


def points_by_dataset(rows: Iterable[Row], price: Callable[[Row], float]) -> dict[str, list[Point]]:
    """The points of each data set, in the order in which data sets first appear.

    Args:
        rows: of one variant; truncated students are left out.
        price: cost of a row in the unit of the axis.

    Raises:
        InputError: if no row is left or variants are mixed.
    """
    from omnicost.results import comparable

    groups: dict[tuple[str, Policy], list[Row]] = {}
    for row in comparable(rows):
        groups.setdefault((row.dataset, row.policy), []).append(row)
    points: dict[str, list[Point]] = {}
    for (dataset, policy), seeds in groups.items():
        points.setdefault(dataset, []).append(_average(policy, seeds, price))
    return points


def _average(policy: Policy, seeds: Sequence[Row], price: Callable[[Row], float]) -> Point:
    aps = np.array([row.ap for row in seeds])
    spread = float(aps.std(ddof=1)) if len(aps) > 1 else math.nan
    cost = float(np.mean([price(row) for row in seeds]))
    return Point(policy, cost, float(aps.mean()), spread, len(seeds))


def price_of(unit: CostUnit, wage_per_hour: float | None) -> Callable[[Row], float]:
    """The price of a row as it was recorded: seconds per image, total hours, or money.

    Raises:
        InputError: if money is asked for without a wage.
    """
    if unit is CostUnit.SECONDS:
        return lambda row: row.seconds_per_image
    if unit is CostUnit.HOURS:
        return lambda row: row.hours
    if wage_per_hour is None:
        raise InputError("`wage`", "is missing", "give the pay of one hour")
    return lambda row: row.hours * wage_per_hour
