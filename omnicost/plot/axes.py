"""A cost axis that is logarithmic and still shows what costs nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_STEPS: Final = (1, 2, 5)
_MOST_TICKS: Final = 5
_MARGIN: Final = 1.3
_BREAK_AT: Final = 0.05
"""Distance of the break from zero's place, as a share of the axis."""


class CostAxis(NamedTuple):
    """Limits of a logarithmic axis with, where something is free, a place for zero at its left."""

    low: float
    high: float
    zero_at: float | None
    """Where a cost of 0 is drawn; None if nothing is free."""

    @property
    def after_break(self) -> float:
        """The first cost on the logarithmic part of the axis."""
        return (self.zero_at or self.low) * (self.high / self.low) ** (_BREAK_AT + 0.03)

    def place(self, cost: np.ndarray | float) -> np.ndarray:
        """Positions on the axis of ``(...)`` costs; zero goes to its own place."""
        cost = np.asarray(cost, dtype=float)
        return np.where(cost > 0, cost, self.zero_at if self.zero_at is not None else math.nan)


def cost_axis(costs: np.ndarray) -> CostAxis:
    """The axis that shows all of these costs, ``(N,)`` of which some may be 0."""
    positive = costs[costs > 0]
    if not len(positive):
        return CostAxis(0.5, 2.0, 1.0)
    low, high = float(positive.min()), float(positive.max())
    if high / low < 1.5:
        low, high = low / 1.5, high * 1.5
    if not (costs <= 0).any():
        return CostAxis(low / _MARGIN, high * _MARGIN, None)
    gutter = (high / low) ** 0.16
    zero_at = low / gutter
    return CostAxis(zero_at / gutter**0.45, high * _MARGIN, zero_at)


def dress(axes: Axes, axis: CostAxis) -> None:
    """Set scale, limits and few round ticks; mark the break between zero and the rest."""
    start = axis.low if axis.zero_at is None else axis.zero_at * (1 + 1e-6)
    ticks = round_ticks(start, axis.high)
    if axis.zero_at is not None:
        clear = axis.zero_at * (axis.high / axis.low) ** 0.09
        ticks = [tick for tick in ticks if tick > clear]
    labels = {tick: compact(tick) for tick in ticks}
    if axis.zero_at is None:
        set_log_axis(axes, axis.low, axis.high, labels)
    else:
        set_log_axis(axes, axis.low, axis.high, {axis.zero_at: "0"} | labels)
        _mark_break(axes, axis.zero_at, axis)


def set_log_axis(axes: Axes, low: float, high: float, ticks: Mapping[float, str]) -> None:
    """A logarithmic cost axis from low to high with these ticks, by their places, and no others."""
    from matplotlib.ticker import FixedLocator, NullLocator

    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.xaxis.set_major_locator(FixedLocator([*ticks]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels([*ticks.values()])


def _mark_break(axes: Axes, zero_at: float, axis: CostAxis) -> None:
    """Two short strokes across the axis line, between zero and the first cost."""
    place = math.log(zero_at / axis.low) / math.log(axis.high / axis.low) + _BREAK_AT
    stroke = partial(axes.plot, transform=axes.transAxes, clip_on=False, solid_capstyle="butt")
    stroke([place, place + 0.014], [0, 0], color="white", linewidth=2.5, zorder=5)
    for x in (place, place + 0.014):
        stroke([x - 0.006, x + 0.006], [-0.016, 0.016], color="#444444", lw=0.6, zorder=6)


def round_ticks(low: float, high: float) -> list[float]:
    """1, 2, 5 times powers of ten inside the range; whole decades where those are too many."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in (_STEPS, (1, 3), (1,)):
        ticks = [s * 10.0**e for e in exponents for s in steps if low <= s * 10.0**e <= high]
        if len(ticks) <= _MOST_TICKS:
            return ticks
    return ticks[:: math.ceil(len(ticks) / _MOST_TICKS)]


def compact(value: float) -> str:
    """A short number for a tick: 500, 2k, 1.5M."""
    for size, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{suffix}"
    return f"{value:g}"
