"""AP against the share of masks: a panel a data set, a line a type, as the paper's Figure 1."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from omnicost.annotation import AnnotationType
from omnicost.plot.pareto import colour_of, marker_of, panels_figure, type_handles
from omnicost.plot.pareto_info import Panel, ParetoInfo

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def curves_figure(info: ParetoInfo, width_inches: float = 7.2) -> Figure:
    """The panels as a figure; what to draw is as of `compute_pareto_info`.

    Shares are evenly spaced, not to scale: 0%, 1%, 10% and 100% would otherwise sit on each other.
    """
    label = "share of images with masks"
    return panels_figure(info, _draw_panel, label, type_handles(info), width_inches)


def _draw_panel(axes: Axes, panel: Panel) -> None:
    shares = sorted({point.mask_share for point in panel.points})
    slot = {share: index for index, share in enumerate(shares)}
    for annotation, own in panel.lines():
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
