"""Colours, markers and the shared legend of the AP-against-cost pictures."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from omnicost.annotation import AnnotationType
from omnicost.plot import style
from omnicost.plot.pareto_info import ParetoInfo
from omnicost.plot.points import Point

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK: Final = "#444444"
DASHES: Final = (0, (4, 2.2))
BASELINE_COLOUR: Final = "#A0522D"


def draw_legend(figure: Figure, handles: Sequence[Any], width_inches: float) -> None:
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


def pareto_handles(info: ParetoInfo, fills: Mapping[float, float]) -> list[Any]:
    """Legend entries of types, mask shares, and what is marked."""
    return [*type_handles(info), *_share_handles(fills), *_mark_handles(info)]


def type_handles(info: ParetoInfo) -> list[Any]:
    """Legend entries of the annotation types that the picture shows."""
    from matplotlib.lines import Line2D

    present = {point.annotation for panel in info.panels for point in panel.points}
    names: dict[AnnotationType | None, str] = {
        **{annotation: str(annotation) for annotation in AnnotationType},
        AnnotationType.MASK: "masks on all",
        None: "mixed weak types",
    }
    return [
        Line2D([], [], color=colour_of(k), marker=marker_of(k), markersize=4.6, label=names[k],
               linewidth=0 if k in (AnnotationType.MASK, None) else 1.3)
        for k in (*AnnotationType, None)
        if k in present
    ]  # fmt: skip


def _share_handles(fills: Mapping[float, float]) -> list[Any]:
    from matplotlib.lines import Line2D

    return [
        Line2D([], [], linewidth=0, marker="o", markersize=4.6, color="#555555",
               markerfacecolor=tint("#555555", fill), label=f"{100 * share:.3g}% masks")
        for share, fill in fills.items()
        if share < 1
    ]  # fmt: skip


def _mark_handles(info: ParetoInfo) -> list[Any]:
    from matplotlib.lines import Line2D

    ring = Line2D([], [], linewidth=0, marker="o", markersize=7.5, markerfacecolor="none",
                  color=INK, markeredgewidth=0.7, label="Pareto front")  # fmt: skip
    hull = Line2D([], [], color=INK, linewidth=0.8, linestyle=DASHES,
                  label="hull (mixing)")  # fmt: skip
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


def tint(colour: str, amount: float) -> tuple[float, float, float]:
    """The colour mixed with white: 0 is white, 1 is the colour."""
    from matplotlib.colors import to_rgb

    red, green, blue = (1 - amount * (1 - channel) for channel in to_rgb(colour))
    return red, green, blue
