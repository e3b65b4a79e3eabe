"""AP against annotation cost: one panel a data set, one line a type, the front and hull marked."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from omnicost.annotation import AnnotationType
from omnicost.plot import style
from omnicost.plot.axes import CostAxis, cost_axis, dress
from omnicost.plot.pareto_info import Panel, ParetoInfo
from omnicost.plot.points import Point
from omnicost.published import PUBLISHED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK: Final = "#444444"
DASHES: Final = (0, (4, 2.2))
BASELINE_COLOUR: Final = "#A0522D"
LEVELS: Final = (0.95, 0.90)
"""Shares of the fully supervised AP that get a line, as in the paper's Table 2."""


def pareto_figure(info: ParetoInfo, width_inches: float = 7.2) -> Figure:
    """The panels as a figure, wrapped into rows as they need."""
    # One scale of fills for all panels, which share the legend.
    fills = fill_levels(point for panel in info.panels for point in panel.points)
    draw = partial(_draw_panel, fills=fills)
    handles = [*type_handles(info), *_share_handles(fills), *_mark_handles(info)]
    return panels_figure(info, draw, info.cost_label, handles, width_inches)


def panels_figure(
    info: ParetoInfo,
    draw_panel: Callable[[Axes, Panel], None],
    label: str,
    handles: Sequence[Any],
    width_inches: float,
) -> Figure:
    """AP over what `label` names: a panel a data set and one legend, a figure of no window."""
    with style.styled():
        figure, grid = _panel_grid(len(info.panels), width_inches)
        for axes, panel in zip(grid, info.panels, strict=True):
            axes.set_title(_title_of(panel))
            axes.grid(axis="y", color="#E6E6E6", linewidth=0.5)
            draw_panel(axes, panel)
            axes.margins(y=0.09)
            axes.locator_params(axis="y", nbins=6)
            _draw_levels(axes, panel)
            axes.set_xlabel(label)
        grid[0].set_ylabel("mask AP")
        _draw_legend(figure, handles, width_inches)
    return figure


def _panel_grid(panels: int, width_inches: float) -> tuple[Figure, list[Axes]]:
    """A figure with so many panels, wrapped into rows that fit the width."""
    from matplotlib.figure import Figure

    columns = max(1, min(panels, int(width_inches // 2.2)))
    lines = math.ceil(panels / columns)
    height = (0.9 * min(width_inches / columns, 3.6) + 0.3) * lines + 0.3
    figure = Figure(figsize=(width_inches, height))
    figure.set_layout_engine("constrained", w_pad=0.04, h_pad=0.05)
    axes = figure.subplots(lines, columns, squeeze=False)
    flat = list(axes.flat)
    for unused in flat[panels:]:
        unused.remove()
    return figure, flat[:panels]


def _draw_panel(axes: Axes, panel: Panel, fills: Mapping[float, float]) -> None:
    costs = np.array([p.cost for p in panel.points] + [b.cost for b in panel.baselines])
    axis = cost_axis(costs)
    dress(axes, axis)
    _draw_hull(axes, axis, panel)
    _draw_lines(axes, axis, panel, fills)
    _ring_front(axes, axis, panel)
    _draw_baselines(axes, axis, panel)


def _title_of(panel: Panel) -> str:
    """A data set's name as its authors write it, and whether the panel measures nothing."""
    named = PUBLISHED.get(panel.dataset)
    smoke = " (smoke run: no measurement)" if panel.is_smoke else ""
    return (panel.dataset if named is None else named.title) + smoke


def _draw_lines(axes: Axes, axis: CostAxis, panel: Panel, fills: Mapping[float, float]) -> None:
    for annotation, own in panel.lines():
        if annotation not in (AnnotationType.MASK, None):
            costs = axis.place(np.array([p.cost for p in own]))
            axes.plot(costs, [p.ap for p in own], color=colour_of(annotation))
        for point in own:
            _draw_point(axes, axis, point, fills[point.mask_share])


def _draw_point(axes: Axes, axis: CostAxis, point: Point, fill: float) -> None:
    colour = colour_of(point.annotation)
    axes.errorbar(
        axis.place(point.cost),
        point.ap,
        yerr=None if math.isnan(point.ap_sd) else point.ap_sd,
        fmt=marker_of(point.annotation),
        color=colour,
        markerfacecolor=_tint(colour, fill),
        markersize=8 if point.annotation is AnnotationType.MASK else 4.6,
        markeredgewidth=1.0,
        elinewidth=0.9,
        capsize=2,
        zorder=3,
    )


def _draw_hull(axes: Axes, axis: CostAxis, panel: Panel) -> None:
    corners = [panel.points[index] for index in panel.hull]
    costs = np.array([p.cost for p in corners])
    start = max(costs[0], axis.low if axis.zero_at is None else axis.after_break)
    # Mixing is a straight line in money, so a curve on a logarithmic axis.
    along = np.geomspace(start, max(costs[-1], start), 200)
    aps = np.interp(along, costs, [p.ap for p in corners])
    axes.plot(along, aps, color=INK, linewidth=0.8, linestyle=DASHES, zorder=1)


def _ring_front(axes: Axes, axis: CostAxis, panel: Panel) -> None:
    points = [panel.points[index] for index in panel.front]
    axes.scatter(
        axis.place(np.array([p.cost for p in points])),
        [p.ap for p in points],
        s=64,
        facecolors="none",
        edgecolors=INK,
        linewidths=0.7,
        zorder=4,
    )


def _draw_baselines(axes: Axes, axis: CostAxis, panel: Panel) -> None:
    if panel.baselines:
        costs = axis.place(np.array([b.cost for b in panel.baselines]))
        aps = [b.ap for b in panel.baselines]
        axes.scatter(costs, aps, marker="x", s=20, color=BASELINE_COLOUR, linewidths=1.0, zorder=2)


def _draw_levels(axes: Axes, panel: Panel) -> None:
    """The fully supervised line and its levels, named in the right margin without collisions."""
    if not any(point.ap for point in panel.points):
        axes.set_ylim(-0.03, 1)  # a trial run's students have learnt nothing: no hundredths of AP
    if not panel.full_ap:
        return
    low, high = axes.get_ylim()
    shares = [1.0, *(level for level in LEVELS if low < level * panel.full_ap)]
    heights = np.array([share * panel.full_ap for share in shares])
    names = [f"full {panel.full_ap:.1f}", *(f"{share:.0%}" for share in shares[1:])]
    for share, height in zip(shares, heights, strict=True):
        dashes = "solid" if share == 1 else (0, (1, 1.8))
        axes.axhline(height, color="#777777", linewidth=0.7, linestyle=dashes, zorder=0)
    axes.set_ylim(low, high)
    height_inches = axes.get_window_extent().height / axes.figure.dpi
    gap = (high - low) * (7.5 / 72) / max(height_inches, 0.5)
    placed = style.spread_labels(heights, gap, low, high)
    for name, height in zip(names, placed, strict=True):
        axes.annotate(
            name,
            (1.0, height),
            xycoords=("axes fraction", "data"),
            xytext=(3, 0),
            textcoords="offset points",
            va="center",
            fontsize=6.3,
            color=INK,
        )


# --- the legend


def _draw_legend(figure: Figure, handles: Sequence[Any], width_inches: float) -> None:
    """One legend under all panels, its entries in order row by row."""
    most = max(2, int(width_inches // 1.0))
    columns = math.ceil(len(handles) / math.ceil(len(handles) / most))  # rows of like length
    figure.legend(
        # Matplotlib fills a column before the next.
        handles=[handle for first in range(columns) for handle in handles[first::columns]],
        loc="outside lower center",
        ncols=columns,
        columnspacing=1.4,
        handletextpad=0.5,
        handlelength=1.8,
    )


def type_handles(info: ParetoInfo) -> list[Any]:
    """Legend entries of the annotation types that the picture shows."""
    from matplotlib.lines import Line2D

    present = {point.annotation for panel in info.panels for point in panel.points}
    names = {AnnotationType.MASK: "masks on all", None: "mixed weak types"}
    return [
        Line2D([], [], color=colour_of(k), marker=marker_of(k), markersize=4.6,
               linewidth=0 if k in (AnnotationType.MASK, None) else 1.3, label=names.get(k, str(k)))
        for k in (*AnnotationType, None)
        if k in present
    ]  # fmt: skip


def _share_handles(fills: Mapping[float, float]) -> list[Any]:
    from matplotlib.lines import Line2D

    return [
        Line2D([], [], linewidth=0, marker="o", markersize=4.6, color="#555555",
               markerfacecolor=_tint("#555555", fill), label=f"{100 * share:.3g}% masks")
        for share, fill in fills.items()
        if share < 1
    ]  # fmt: skip


def _mark_handles(info: ParetoInfo) -> list[Any]:
    from matplotlib.lines import Line2D

    ring = Line2D([], [], linewidth=0, marker="o", markersize=7.5, markerfacecolor="none",
                  color=INK, markeredgewidth=0.7, label="Pareto front")  # fmt: skip
    hull = Line2D([], [], color=INK, linewidth=0.8, linestyle=DASHES, label="hull (mixing)")
    handles = [ring, hull]
    if any(panel.baselines for panel in info.panels):
        cross = Line2D([], [], linewidth=0, marker="x", markersize=4.5, color=BASELINE_COLOUR,
                       label="published, R-50")  # fmt: skip
        handles.append(cross)
    return handles


def fill_levels(points: Iterable[Point]) -> dict[float, float]:
    """How full a marker is for each mask share: hollow for the smallest, full for the largest."""
    shares = sorted({point.mask_share for point in points if point.mask_share < 1})
    steps = max(len(shares) - 1, 1)
    fills = {share: (rank / steps if len(shares) > 1 else 1.0) for rank, share in enumerate(shares)}
    return {**fills, 1.0: 1.0}


def colour_of(annotation: AnnotationType | None) -> str:
    """Colour of a weak type; mixtures have their own."""
    return "#CC79A7" if annotation is None else style.COLOURS[annotation]


def marker_of(annotation: AnnotationType | None) -> str:
    """Marker of a weak type; mixtures have their own."""
    return "P" if annotation is None else style.MARKERS[annotation]


def _tint(colour: str, amount: float) -> tuple[float, float, float]:
    """The colour mixed with white: 0 is white, 1 is the colour."""
    from matplotlib.colors import to_rgb

    red, green, blue = (1 - amount * (1 - channel) for channel in to_rgb(colour))
    return red, green, blue
