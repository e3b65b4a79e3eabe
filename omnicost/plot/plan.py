"""A plan in a picture: every type's curve, the best that money buys, where the budget cuts it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from omnicost.annotation import AnnotationType
from omnicost.cost import SECONDS_PER_HOUR
from omnicost.plan import Plan
from omnicost.plan.optimise import MASK, Problem, best_for_budget
from omnicost.plot import style
from omnicost.plot.axes import compact, round_ticks, set_log_axis

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_POINTS = 80
_WIDTH_INCHES = 5.2


class Curve(NamedTuple):
    """AP over cost of one kind of plan: hours, percent of full supervision, images of each type."""

    hours: np.ndarray  # (N,)
    percent: np.ndarray  # (N,)
    images: np.ndarray  # (N, T)

    def tuned(self) -> Curve:
        """Its part with masks: none at all is a regime of its own, not the line's end."""
        with_masks = self.images[:, MASK] > 0
        return Curve(self.hours[with_masks], self.percent[with_masks], self.images[with_masks])


class PlanInfo(NamedTuple):
    """What the picture of a plan shows."""

    title: str
    types: dict[AnnotationType, Curve]
    """Masks on none to all images, that type on the rest."""
    best: Curve
    """The front: the best plan of every budget."""
    hours: float
    percent: float
    percent_interval: tuple[float, float]
    hours_interval: tuple[float, float]
    budget_hours: float | None
    target_percent: float | None


def compute_plan_info(plan: Plan) -> PlanInfo:
    """Curves and the plan's own point."""
    problem, expected = plan.problem, plan.expectation
    low, high = expected.share_interval
    target = plan.question.target
    return PlanInfo(
        title=f"{plan.stats.images:,} images, statistics of {plan.stats.name}",
        types={k: _type_curve(problem, k) for k in problem.surface.types},
        best=_best_curve(problem),
        hours=plan.hours,
        percent=100 * expected.share,
        percent_interval=(100 * low, 100 * high),
        hours_interval=plan.risk.hours_interval,
        budget_hours=plan.question.budget_hours,
        target_percent=None if target is None else 100 * target,
    )


def _type_curve(problem: Problem, annotation: AnnotationType) -> Curve:
    masks = problem.mask_grid(1.1)
    images = np.zeros((len(masks), len(problem.seconds)), dtype=np.int64)
    images[:, MASK] = masks
    images[:, annotation.strength] += problem.images - masks
    return _curve(problem, images)


def _best_curve(problem: Problem) -> Curve:
    """The front, from the cheapest policy to the dearest; free plans are left to the type lines."""
    masks = [MASK] if problem.masks_allowed else []
    seconds = problem.seconds[[*problem.strengths, *masks]]
    dearest = float(seconds.max()) * problem.images
    least = max(float(seconds.min()) * problem.images, dearest / 3000)
    budgets = np.geomspace(least * (1 + 1e-9), dearest, _POINTS) if dearest > 0 else [0.0]
    grid = problem.mask_grid(1.02)
    return _curve(problem, np.stack([best_for_budget(problem, b, grid) for b in budgets]))


def _curve(problem: Problem, images: np.ndarray) -> Curve:
    percent = 100 * problem.share_of_full(images)
    return Curve(problem.cost(images) / SECONDS_PER_HOUR, percent, images)


def info_frame(info: PlanInfo) -> pd.DataFrame:
    """The picture's numbers, one row a point of a line."""
    import pandas as pd

    lines = {**{str(each): curve for each, curve in info.types.items()}, "best": info.best}
    frames = [
        pd.DataFrame(
            {
                "line": name,
                "masks": curve.images[:, MASK],
                "hours": curve.hours,
                "percent": curve.percent,
            }
        )
        for name, curve in lines.items()
    ]
    return pd.concat(frames, ignore_index=True)


def plan_figure(info: PlanInfo) -> Figure:
    """The picture as a figure, which belongs to no window."""
    from matplotlib.figure import Figure

    with style.styled():
        figure = Figure(figsize=(_WIDTH_INCHES, 0.72 * _WIDTH_INCHES), layout="constrained")
        axes = figure.add_subplot()
        axes.set_title(info.title)
        _draw_lines(axes, info)
        _draw_question(axes, info)
        _draw_point(axes, info)
        _dress(axes, info)
        figure.legend(loc="outside lower center", ncols=4, columnspacing=1.4, handlelength=1.8)
    return figure


def plot_plan(plan: Plan, path: Path) -> list[Path]:
    """Draw a plan as PNG, SVG or PDF by the file's ending, and write its numbers beside it as CSV.

    Returns:
        Both files.

    Raises:
        InputError: if the file's ending is none that can be drawn.
    """
    style.check_format(path)
    info = compute_plan_info(plan)
    style.save(plan_figure(info), path, info_frame(info))
    return [path, path.with_suffix(".csv")]


def _draw_lines(axes: Axes, info: PlanInfo) -> None:
    axes.plot(info.best.hours, info.best.percent, color="#111111", linewidth=3.2, alpha=0.18,
              solid_capstyle="butt", zorder=1, label="best for the money")  # fmt: skip
    for annotation, curve in info.types.items():
        line = curve.tuned()
        label = f"masks + {annotation}"
        axes.plot(line.hours, line.percent, color=style.COLOURS[annotation], label=label)
        if curve.hours[0] > 0:
            # Where the type stands alone, without a mask.
            axes.plot(curve.hours[0], curve.percent[0], marker=style.MARKERS[annotation],
                      color=style.COLOURS[annotation], markersize=4.6)  # fmt: skip


def _draw_question(axes: Axes, info: PlanInfo) -> None:
    for level in (90, 95, 100):
        axes.axhline(level, color="#CCCCCC", linewidth=0.6, zorder=0)
    line: dict[str, Any] = {"color": "#444444", "linewidth": 0.8, "linestyle": (0, (4, 2.2))}
    if info.budget_hours is not None and info.budget_hours > 0:
        axes.axvline(info.budget_hours, label=f"budget {info.budget_hours:,.4g} h", **line)
    if info.target_percent is not None:
        axes.axhline(info.target_percent, label=f"target {info.target_percent:.4g}%", **line)


def _draw_point(axes: Axes, info: PlanInfo) -> None:
    if info.hours <= 0:
        return
    (low, high), (cheap, dear) = info.percent_interval, info.hours_interval
    axes.errorbar(
        info.hours,
        info.percent,
        yerr=[[max(info.percent - low, 0)], [max(high - info.percent, 0)]],
        xerr=[[max(info.hours - cheap, 0)], [max(dear - info.hours, 0)]],
        fmt="o",
        color="#D55E00",
        markersize=5,
        elinewidth=0.9,
        capsize=2,
        zorder=4,
        label="the plan, 80% each way",
    )


class AxisLimits(NamedTuple):
    """Ends of the axes: hours from low to high, percent of full from bottom to top."""

    low: float
    high: float
    bottom: float
    top: float


def axis_limits(info: PlanInfo) -> AxisLimits:
    """Axes that hold every line, the plan and its intervals."""
    paid = np.concatenate([c.hours[c.hours > 0] for c in (*info.types.values(), info.best)])
    high = max(float(paid.max()), info.hours_interval[1]) * 1.3
    # A type that is free without masks would stretch the axis over decades of nothing.
    starts = [c.hours[0] for c in info.types.values() if c.hours[0] > 0]
    low = min([*starts, max(info.hours_interval[0], high / 3000), high / 30]) / 1.6
    seen = [c.percent[c.hours >= low] for c in info.types.values()]
    bottom = min([float(p.min()) for p in seen if len(p)] + [info.percent_interval[0]])
    return AxisLimits(low, high, max(bottom - 3, 0), 102)


def _dress(axes: Axes, info: PlanInfo) -> None:
    from matplotlib.ticker import MaxNLocator

    low, high, bottom, top = axis_limits(info)
    set_log_axis(axes, low, high, {tick: compact(tick) for tick in round_ticks(low, high)})
    axes.set_xlabel("annotation hours, at mean times")
    axes.set_ylabel("AP, % of full supervision")
    axes.set_ylim(bottom, top)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=7, integer=True, steps=[1, 5, 10]))
