"""Pictures of results: the numbers behind them, their files, labels that keep apart."""

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg

from omnicost.annotation import AnnotationType, Policy
from omnicost.errors import InputError
from omnicost.plot.axes import compact, cost_axis, round_ticks
from omnicost.plot.curves import curves_figure
from omnicost.plot.pareto import fill_levels, pareto_figure
from omnicost.plot.pareto_info import ParetoInfo, compute_pareto_info, info_frame
from omnicost.plot.points import CostUnit
from omnicost.plot.style import save, spread_labels
from omnicost.results import Row, paper_rows


def row(policy: Policy, ap: float, seed: int = 0, dataset: str = "toy") -> Row:
    seconds = 100.0 * policy.mask_share + 5.0 * policy[AnnotationType.BOX]
    return Row(
        dataset=dataset, policy=policy, seed=seed, variant="r", ap=ap, images=36, masks=0,
        seconds_per_image=seconds, hours=seconds * 36 / 3600,
    )  # fmt: skip


def toy_info(unit: CostUnit = CostUnit.SECONDS, wage: float | None = None) -> ParetoInfo:
    rows = [row(Policy.cell("none", 0), ap) for ap in (10.0,)]
    rows += [row(Policy.cell("box", 0), ap, seed) for seed, ap in enumerate((29.0, 31.0))]
    rows += [row(Policy.cell("none", 0.1), 20.0), row(Policy.of({"mask": 1}), 40.0)]
    return compute_pareto_info(rows, unit, wage)


def test_points_average_their_seeds() -> None:
    """A point is the mean over seeds with their sample deviation, one seed has none."""
    (panel,) = toy_info().panels
    none, box, *_ = panel.points
    assert (box.ap, box.seeds) == (30.0, 2)
    assert box.ap_sd == pytest.approx(math.sqrt(2))
    assert math.isnan(none.ap_sd)


def test_front_and_hull_are_marked() -> None:
    """Masks on a tenth cost more than boxes and give less, so they are off front and hull."""
    (panel,) = toy_info().panels
    named = [str(panel.points[index].policy) for index in panel.front]
    assert named == ["none=1", "box=1", "mask=1"]
    assert [str(panel.points[index].policy) for index in panel.hull] == named
    assert panel.full_ap == 40.0


@pytest.mark.parametrize(
    ("unit", "wage", "expected"),
    [(CostUnit.SECONDS, None, 100.0), (CostUnit.HOURS, None, 1.0), (CostUnit.MONEY, 9.0, 9.0)],
)
def test_cost_units(unit: CostUnit, wage: float | None, expected: float) -> None:
    """100 s on each of 36 images is an hour of work, and 9 at a wage of 9."""
    (panel,) = toy_info(unit, wage).panels
    assert panel.points[-1].cost == pytest.approx(expected)


def test_coco_front_of_the_paper() -> None:
    """On Table 2's COCO, boxes at 10% masks are dominated by boxes at 1% (42.9 against 43.1)."""
    (panel,) = compute_pareto_info(paper_rows("coco")).panels
    front = {str(panel.points[index].policy) for index in panel.front}
    assert "mask=0.01,box=0.99" in front
    assert "mask=0.1,box=0.9" not in front


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
@pytest.mark.parametrize("figure", [pareto_figure, curves_figure])
def test_picture_and_numbers_are_written(tmp_path: Path, suffix: str, figure) -> None:
    """Each format is written and twice the same; the CSV beside it holds every point."""
    path = tmp_path / f"picture{suffix}"
    info = toy_info()
    save(figure(info), path, info_frame(info))
    first = path.read_bytes()
    save(figure(info), path, info_frame(info))
    assert path.read_bytes() == first
    numbers = pd.read_csv(path.with_suffix(".csv"))
    assert list(numbers["ap"]) == [10.0, 30.0, 20.0, 40.0]
    assert list(numbers["on_front"]) == [True, True, False, True]


def test_unknown_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"use \.png, \.svg or \.pdf"):
        save(pareto_figure(toy_info()), tmp_path / "picture.jpg")


@pytest.mark.parametrize("width", [3.4, 7.2, 12.0])
def test_no_margin_label_covers_another(width: float) -> None:
    """The names of the full and 90/95% lines keep apart at every size and on every data set."""
    rows = [r for name in ("coco", "ade20k", "cityscapes") for r in paper_rows(name)]
    figure = pareto_figure(compute_pareto_info(rows, baselines=True), width)
    FigureCanvasAgg(figure).draw()
    renderer = figure.canvas.get_renderer()
    assert len(figure.axes) == 3
    for axes in figure.axes:
        boxes = sorted((t.get_window_extent(renderer) for t in axes.texts), key=lambda b: b.y0)
        assert len(boxes) >= 2
        for below, above in pairwise(boxes):
            assert below.y1 <= above.y0 + 1.0


@given(
    st.lists(st.floats(-5, 15), min_size=1, max_size=8),
    st.floats(0.01, 3),
)
def test_spread_labels_keep_their_distance_and_order(positions: list[float], gap: float) -> None:
    """Labels end up inside the range, apart by the gap or evenly spaced, in their order."""
    placed = spread_labels(np.array(positions), gap, 0.0, 10.0)
    ordered = placed[np.argsort(positions, kind="stable")]
    least = min(gap, 10.0 / max(len(positions) - 1, 1))
    assert (np.diff(ordered) >= least - 1e-9).all()
    assert placed.min() >= -1e-9
    assert placed.max() <= 10.0 + 1e-9


def test_labels_that_are_apart_stay() -> None:
    assert spread_labels(np.array([1.0, 5.0]), 1.0, 0.0, 10.0).tolist() == [1.0, 5.0]


@given(st.floats(1e-3, 1e6), st.floats(1.0, 1e6))
def test_ticks_are_few_and_inside(low: float, ratio: float) -> None:
    ticks = round_ticks(low, low * ratio)
    assert len(ticks) <= 5
    assert all(low <= tick <= low * ratio for tick in ticks)


def test_what_costs_nothing_has_a_place() -> None:
    """Zero is drawn left of the cheapest positive cost, and only where something is free."""
    axis = cost_axis(np.array([0.0, 10.0, 1000.0]))
    assert axis.low < axis.place(0.0) < 10.0 < axis.high
    assert cost_axis(np.array([10.0, 1000.0])).zero_at is None


def test_compact_numbers() -> None:
    assert [compact(v) for v in (0.5, 500, 2000, 1.5e6)] == ["0.5", "500", "2k", "1.5M"]


def test_fill_grows_with_the_mask_share() -> None:
    """Hollow at the smallest share, full at the largest short of all masks."""
    (panel,) = toy_info().panels
    assert fill_levels(panel.points) == {0.0: 0.0, 0.1: 1.0, 1.0: 1.0}


def test_smoke_rows_are_marked() -> None:
    """A picture of a trial run says that it measures nothing; one of a sweep does not."""
    real = [row(Policy.cell("box", 0), 30.0), row(Policy.of({"mask": 1}), 40.0)]
    smoke = [one.model_copy(update={"schedule": "smoke", "dataset": "trial"}) for one in real]
    info = compute_pareto_info([*real, *smoke])
    assert [panel.is_smoke for panel in info.panels] == [False, True]
    for figure in (pareto_figure(info), curves_figure(info)):
        titles = [axes.get_title(loc="left") for axes in figure.axes]
        assert ["smoke run: no measurement" in title for title in titles] == [False, True]


def test_a_share_of_masks_has_one_fill_in_all_panels() -> None:
    """Markers are as full as the legend's, whatever other shares their own panel shows."""
    rows = [row(Policy.cell("box", share), 30.0) for share in (0, 0.1, 0.5)]
    rows.append(row(Policy.cell("box", 0.1), 30.0, dataset="other"))
    figure = pareto_figure(compute_pareto_info(rows))
    faces = [
        [line.get_markerfacecolor() for line in axes.lines if line.get_marker() == "D"]
        for axes in figure.axes
    ]
    assert faces[1] == [faces[0][1]]


def test_the_legend_reads_row_by_row() -> None:
    """Entries that need a second row go on there; matplotlib alone would fill its columns."""
    rows = [row(Policy.cell(kind, s), 30.0) for kind in ("none", "class", "point", "box")
            for s in (0, 0.1)]  # fmt: skip
    figure = pareto_figure(compute_pareto_info(rows))
    FigureCanvasAgg(figure).draw()
    texts = figure.legends[0].get_texts()
    places = {t.get_text(): t.get_window_extent() for t in texts}
    read = sorted(places, key=lambda name: (-round(places[name].y0 / 5), places[name].x0))
    assert read == [
        "none", "class", "point", "box", "0% masks", "10% masks", "Pareto front", "hull (mixing)"
    ]  # fmt: skip
    assert len({round(each.y0 / 5) for each in places.values()}) == 2


def test_money_needs_a_wage() -> None:
    """Hours are never drawn under the name of money."""
    with pytest.raises(InputError, match="`wage`: is missing"):
        toy_info(CostUnit.MONEY)
