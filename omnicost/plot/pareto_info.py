"""What the AP-against-cost pictures show: priced points, front and hull, a panel a data set."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from omnicost import pareto
from omnicost.annotation import AnnotationType, Policy
from omnicost.cost import dataset_stats, seconds_per_image
from omnicost.plot.points import CostUnit, Point, points_by_dataset, price_of
from omnicost.results import SMOKE, Row, published_baselines

if TYPE_CHECKING:
    import pandas as pd


class Baseline(NamedTuple):
    """A published result of another method, priced by the annotation that it needs."""

    name: str
    cost: float
    ap: float


class Panel(NamedTuple):
    """What is drawn for one data set."""

    dataset: str
    points: tuple[Point, ...]
    full_ap: float | None
    """AP with masks on every image; None if it was not measured."""
    front: tuple[int, ...]
    """Indices into `points` that no other point dominates, by cost."""
    hull: tuple[int, ...]
    """Indices into `points` of the concave hull's corners, by cost."""
    baselines: tuple[Baseline, ...]
    is_smoke: bool
    """Whether a row is of a smoke run, which measures nothing."""

    def lines(self) -> Iterator[tuple[AnnotationType | None, list[Point]]]:
        """The points of each type, those of mixtures under None, by their share of masks."""
        for annotation in (*AnnotationType, None):
            own = [point for point in self.points if point.annotation is annotation]
            if own:
                yield annotation, sorted(own, key=lambda point: point.mask_share)


class ParetoInfo(NamedTuple):
    """All panels of a picture, with the meaning of their cost axis."""

    panels: tuple[Panel, ...]
    cost_label: str


def compute_pareto_info(
    rows: Iterable[Row],
    unit: CostUnit = CostUnit.SECONDS,
    wage_per_hour: float | None = None,
    currency: str = "usd",
    baselines: bool = False,
) -> ParetoInfo:
    """Price, average over seeds, and find front and hull of each data set.

    Args:
        rows: of one variant.
        unit: seconds per image, total hours, or money.
        wage_per_hour: for money.
        currency: name of the money.
        baselines: add the published results of other methods (COCO, seconds per image).

    Raises:
        InputError: if no row is left, variants are mixed, or money has no wage.
    """
    kept = tuple(rows)
    groups = points_by_dataset(kept, price_of(unit, wage_per_hour))
    smoke = {row.dataset for row in kept if row.schedule == SMOKE}
    panels = tuple(
        _panel(dataset, points, baselines and unit is CostUnit.SECONDS, dataset in smoke)
        for dataset, points in groups.items()
    )
    labels = {
        CostUnit.SECONDS: "annotation seconds per image",
        CostUnit.HOURS: "annotation hours",
        CostUnit.MONEY: f"annotation cost ({currency})",
    }
    return ParetoInfo(panels, labels[unit])


def _panel(dataset: str, points: Sequence[Point], baselines: bool, is_smoke: bool) -> Panel:
    costs, aps = (np.array([getattr(p, field) for p in points]) for field in ("cost", "ap"))
    full = [point.ap for point in points if point.mask_share == 1]
    return Panel(
        dataset,
        tuple(points),
        full[0] if full else None,
        tuple(int(i) for i in pareto.front(costs, aps)),
        tuple(int(i) for i in pareto.hull(costs, aps)),
        _priced_baselines(dataset) if baselines else (),
        is_smoke,
    )


def _priced_baselines(dataset: str) -> tuple[Baseline, ...]:
    """R-50 results with a policy that can be priced; several splits of one method count once."""
    if dataset != "coco":
        return ()
    stats, table = dataset_stats("coco"), published_baselines()
    table = table[(table["policy"] != "") & table["backbone"].str.contains("50")]
    table = table.sort_values("ap").drop_duplicates(["method", "policy"], keep="last")
    return tuple(
        Baseline(row.method, seconds_per_image(Policy.parse(row.policy), stats), row.ap)
        for row in table.itertuples()
    )


def info_frame(info: ParetoInfo) -> pd.DataFrame:
    """The numbers of the picture, one row a point."""
    import pandas as pd

    records = [
        {
            "dataset": panel.dataset,
            "policy": str(point.policy),
            "mask_share": point.mask_share,
            "annotation_type": "mixed" if point.annotation is None else str(point.annotation),
            info.cost_label.replace(" ", "_"): point.cost,
            "ap": point.ap,
            "ap_sd": None if math.isnan(point.ap_sd) else point.ap_sd,
            "seeds": point.seeds,
            "share_of_full": point.ap / panel.full_ap if panel.full_ap else None,
            "on_front": index in panel.front,
            "on_hull": index in panel.hull,
        }
        for panel in info.panels
        for index, point in enumerate(panel.points)
    ]
    return pd.DataFrame.from_records(records)
