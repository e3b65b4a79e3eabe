"""AP against the share of masks: a panel a data set, a line a type, as the paper's Figure 1."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from omnicost.annotation import AnnotationType
from omnicost.plot import style
from omnicost.plot.legend import colour_of, marker_of, type_handles
from omnicost.plot.pareto import draw_levels, panel_grid, title_of
from omnicost.plot.pareto_info import Panel, ParetoInfo, info_frame

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw_curves(info: ParetoInfo, path: Path, width_inches: float = 7.2) -> None:
    """Draw AP against mask share and write the picture, with its numbers beside it as CSV.

    Args:
        info: what to draw; see `compute_pareto_info`.
        path: picture; its ending is the format.
        width_inches: of the whole picture; panels wrap into rows as they need.
    """
    style.save(curves_figure(info, width_inches), path)
    style.save_numbers(info_frame(info), path)


def curves_figure(info: ParetoInfo, width_inches: float = 7.2) -> Figure:
    """The panels as a figure, which belongs to no window.

    Shares are evenly spaced, not to scale: 0%, 1%, 10% and 100% would otherwise sit on each other.
    """
    with style.styled():
        figure, grid = panel_grid(len(info.panels), width_inches)
        for axes, panel in zip(grid, info.panels, strict=True):
            _draw_panel(axes, panel)
            axes.set_xlabel("share of images with masks")
        grid[0].set_ylabel("mask AP")
        handles = type_handles(info)
        figure.legend(
            handles=handles,
            loc="outside lower center",
            ncols=max(2, min(len(handles), int(width_inches // 1.0))),
        )
    return figure


def _draw_panel(axes: Axes, panel: Panel) -> None:
    shares = sorted({point.mask_share for point in panel.points})
    slot = {share: index for index, share in enumerate(shares)}
    axes.set_title(title_of(panel.dataset))
    axes.grid(axis="y", color="#E6E6E6", linewidth=0.5)
    for annotation in (*AnnotationType, None):
        own = sorted(
            (p for p in panel.points if p.annotation is annotation), key=lambda p: p.mask_share
        )
        if own:
            axes.errorbar(
                [slot[point.mask_share] for point in own],
                [point.ap for point in own],
                yerr=np.array([0 if math.isnan(p.ap_sd) else p.ap_sd for p in own]),
                color=colour_of(annotation),
                marker=marker_of(annotation),
                markersize=8 if annotation is AnnotationType.MASK else 4.6,
                linestyle="none" if annotation in (AnnotationType.MASK, None) else "solid",
                elinewidth=0.9,
                capsize=2,
            )
    axes.set_xticks(range(len(shares)), [f"{100 * share:.3g}%" for share in shares])
    axes.set_xlim(-0.35, len(shares) - 0.65)
    axes.margins(y=0.09)
    axes.locator_params(axis="y", nbins=6)
    draw_levels(axes, panel)
