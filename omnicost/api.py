"""The verbs for Python and notebooks: what the command line does, as functions that return.

    from omnicost.api import calibrate, cost, plan, rows, sweep

    report = plan("500h", dataset="coco", images=20_000)
    report.plan.images, report.bill.hours      # numbers; a notebook shows the report as a page
    cost("coco", ["mask=0.1,point=0.9"])       # a DataFrame

They live here and not in `omnicost` itself, where `plan` and `cost` are the packages behind them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from omnicost.annotation import AnnotationType, Policy
from omnicost.errors import InputError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from omnicost.calibrate import Calibration, ReadOptions
    from omnicost.campaign.report import PlanReport
    from omnicost.campaign.team import Team
    from omnicost.cost import DatasetStats, LabellingTimes, OverheadsByType
    from omnicost.labelling import ImageList
    from omnicost.results import Row, TeacherRow
    from omnicost.sweep.launch import Finished

__all__ = ["calibrate", "cost", "curves", "pareto", "plan", "plan_figure", "rows", "sweep"]

PathLike = Path | str


def plan(
    budget: str | float | None = None,
    *,
    target: str | float | None = None,
    dataset: str | None = None,
    annotations: PathLike | None = None,
    images: int | PathLike | ImageList | None = None,
    results: Iterable[PathLike] | None = None,
    variant: str | None = None,
    like: Sequence[str] = (),
    types: Sequence[str] | None = None,
    max_hours: Mapping[str, float] | None = None,
    confidence: float | None = None,
    times: LabellingTimes | PathLike | None = None,
    overheads: OverheadsByType | None = None,
    in_hand: PathLike | None = None,
    masks_first: PathLike | None = None,
    team: Team | None = None,
    wage: float | None = None,
    currency: str = "usd",
    hours_a_day: float = 8.0,
    draws: int = 1000,
    seed: int = 0,
) -> PlanReport:
    """Which images get which annotation, with bill and calendar.

    Args:
        budget: hours, or text such as `500h`, `3days`, `12000usd` (with a wage).
        target: instead of a budget, the share of full supervision to reach: 0.95 or `95%`.
        dataset: statistics and students of a published data set.
        annotations: COCO-format file whose own K, c and n to use.
        images: how many, a folder, or a COCO-format file.
        results: files of rows; the paper's Table 2 if not given.
        variant: which of the rows' variants.
        like: data sets that yours resembles, if nothing of it was measured.
        types: what annotators can do.
        max_hours: hours that there are of a type.
        confidence: chance with which the spend must fit, or the target be reached.
        times: labelling times, or a YAML file of them.
        overheads: review, rework, idle and set-up of types; the times' own, else assumptions.
        in_hand: labels that exist: an earlier plan's manifest.csv, or a COCO-format set or file.
            They are kept or raised, never lowered, and only new ones are paid for.
        masks_first: a table of images, the first to get a mask first, as review.csv of
            `omnicost review`; else masks are drawn by the seed.
        team: who labels, and by when.
        wage: pay of one hour.
        currency: of the wage and of a budget in money.
        hours_a_day: hours of a day in a budget.
        draws: of everything that is uncertain.
        seed: of the draws.

    Raises:
        InputError: on anything that cannot be used, or if nothing answers the question.
    """
    import numpy as np

    from omnicost.amounts import read_budget, read_share
    from omnicost.campaign.bill import bill_of, plan_with_setup
    from omnicost.campaign.calendar import simulate
    from omnicost.campaign.html import NotebookReport
    from omnicost.campaign.report import Pay
    from omnicost.cost import Overheads
    from omnicost.labelling import ImageList, read_labels_in_hand, read_masks_first
    from omnicost.plan import Plan, Question, make_plan

    labelling_times = _times(times)
    students, teachers = _by_measure(results)
    measured = _of_variant(_rows(students), variant) if students else None
    stats = _statistics(dataset, annotations, measured, labelling_times)
    listed = None if images is None else _images(images)
    if listed is not None:
        stats = stats.with_images(listed.count)
    known = listed or ImageList("a bare count", stats.images)
    held = None if in_hand is None else read_labels_in_hand(Path(in_hand), known)
    measured_or_given = {**labelling_times.overheads, **(overheads or {})}
    paid = {each: measured_or_given.get(each, Overheads()) for each in AnnotationType}
    question = Question(
        budget_hours=read_budget(budget, wage, currency, hours_a_day)
        if isinstance(budget, str)
        else budget,
        target=read_share(target) if isinstance(target, str) else target,
        confidence=confidence,
        max_hours={AnnotationType.parse(k, "`max_hours`"): h for k, h in (max_hours or {}).items()},
    )

    def make(asked: Question) -> Plan:
        return make_plan(
            asked,
            stats,
            labelling_times,
            dataset=dataset,
            rows=measured,
            like=like,
            types=None if types is None else [AnnotationType.parse(k, "`types`") for k in types],
            overheads=paid,
            teachers=teachers,
            in_hand=None if held is None else np.bincount(held, minlength=len(AnnotationType)),
            draws=draws,
            seed=seed,
        )

    made = plan_with_setup(question, make, paid)
    return NotebookReport(
        plan=made,
        question=question,
        bill=bill_of(made, paid),
        calendar=None if team is None else simulate(made, paid, team, seed),
        pay=None if wage is None else Pay(wage, currency),
        images=listed,
        seed=seed,
        held=held,
        masks_first=None if masks_first is None else read_masks_first(Path(masks_first), known),
    )


def cost(
    dataset: str | None = None,
    policies: Sequence[str | Policy] = (),
    *,
    annotations: PathLike | None = None,
    images: int | None = None,
    times: LabellingTimes | PathLike | None = None,
) -> pd.DataFrame:
    """Seconds per image, hours and saving of every annotation type and of the policies, a row each.

    Hours are of labelling alone; intervals hold 80%.
    """
    import pandas as pd

    from omnicost.annotation import listed
    from omnicost.cost import price

    labelling_times = _times(times)
    stats = _statistics(dataset, annotations, None, labelling_times)
    if images is not None:
        stats = stats.with_images(images)
    mixed = [one if isinstance(one, Policy) else Policy.parse(one) for one in policies]
    pure = [Policy.of({each: 1.0}) for each in listed(*mixed)]
    priced = price([*pure, *mixed], stats, labelling_times)
    records = [
        {
            "policy": str(row.policy),
            "seconds_per_image": row.seconds_per_image,
            "hours": row.hours,
            "hours_low": row.hours_interval.low,
            "hours_high": row.hours_interval.high,
            "saving": row.saving,
        }
        for row in priced
    ]
    return pd.DataFrame.from_records(records)


def calibrate(
    files: Iterable[PathLike], options: ReadOptions | None = None, drop_idle: bool = True
) -> Calibration:
    """Labelling times of your own annotators from a labelling tool's logs."""
    from omnicost import calibrate as package

    timings = [package.read_timings(path, options) for path in files]
    if not timings:
        raise InputError("`files`", "none is given", "give a log of timed annotations")
    return package.calibrate(package.concatenate(timings), drop_idle=drop_idle)


def rows(*paths: PathLike) -> pd.DataFrame:
    """Measured students, a row each, as a DataFrame: those of the files, or the paper's Table 2."""
    from omnicost.results import to_frame

    return to_frame(_rows(paths))


def pareto(*paths: PathLike, unit: str = "seconds", wage: float | None = None) -> Figure:
    """AP against annotation cost, as `omnicost plot pareto` draws it; the paper's if no file."""
    from omnicost.plot.pareto import pareto_figure
    from omnicost.plot.pareto_info import compute_pareto_info
    from omnicost.plot.points import CostUnit

    return pareto_figure(compute_pareto_info(_rows(paths), CostUnit(unit), wage))


def curves(*paths: PathLike) -> Figure:
    """AP against the share of masks, as `omnicost plot curves` draws it; the paper's if no file."""
    from omnicost.plot.curves import curves_figure
    from omnicost.plot.pareto_info import compute_pareto_info

    return curves_figure(compute_pareto_info(_rows(paths)))


def plan_figure(report: PlanReport) -> Figure:
    """A plan among all others, as `omnicost plan --plot` draws it."""
    from omnicost.plot.plan import compute_plan_info, plan_figure

    return plan_figure(compute_plan_info(report.plan))


def sweep(
    card: str,
    *,
    store: PathLike = "store",
    results: PathLike = "results",
    data: PathLike | None = None,
    settings: Sequence[str] = (),
    seeds: str | None = None,
    only: Sequence[str] = (),
    smoke: bool = False,
    decide: Mapping[str, object] | None = None,
    address: str | None = None,
    cpus: int | None = None,
) -> Finished:
    """Run a card and return its rows; what the store already has is not computed again.

    With `decide`, a card's field of that name, only students that still change a plan are trained.
    Needs `pip install 'omnicost[sweep]'`.
    """
    from omnicost.engine.ray.runner import RayOptions
    from omnicost.engine.store import Store
    from omnicost.sweep.cards.read_card import Changes
    from omnicost.sweep.launch import Request, prepare, sweep_card

    root = Store(Path(store))
    folder = None if data is None else Path(data)
    changes = Changes(tuple(settings), seeds, smoke, folder, decide)
    prepared = prepare(Request(card, changes, tuple(only)), root.data)
    options = RayOptions(address, cpus, prepared.card.scheduler)
    return sweep_card(prepared, root, Path(results), options)


# --- reading what a caller gives


def _times(times: LabellingTimes | PathLike | None) -> LabellingTimes:
    from omnicost.cost import LabellingTimes

    if times is None:
        return LabellingTimes()
    return times if isinstance(times, LabellingTimes) else LabellingTimes.from_yaml(times)


def _images(images: int | PathLike | ImageList) -> ImageList:
    from omnicost.labelling import ImageList, read_images

    return images if isinstance(images, ImageList) else read_images(str(images))


def _by_measure(
    results: Iterable[PathLike] | None,
) -> tuple[list[PathLike], list[TeacherRow]]:
    """Files of students' rows, and the rows in files of teachers (`CARD.teacher.jsonl`)."""
    from omnicost.results import read_teacher_rows

    paths = list(results or ())
    teachers = [path for path in paths if str(path).endswith(".teacher.jsonl")]
    students = [path for path in paths if path not in teachers]
    return students, [row for path in teachers for row in read_teacher_rows(path)]


def _rows(paths: Sequence[PathLike]) -> list[Row]:
    """Those of the files; the paper's if there is none."""
    from omnicost.cost import BUILT_IN
    from omnicost.results import paper_rows, read_rows

    if not paths:
        return [row for name in BUILT_IN for row in paper_rows(name)]
    return [row for path in paths for row in read_rows(Path(path))]


def _of_variant(rows: list[Row], variant: str | None) -> list[Row]:
    kept = [row for row in rows if variant in (None, row.variant)]
    if variant is not None and not kept:
        known = ", ".join(sorted({row.variant for row in rows}))
        raise InputError("`variant`", f"no row has {variant!r}", f"use {known}")
    return kept


def _statistics(
    dataset: str | None,
    annotations: PathLike | None,
    measured: list[Row] | None,
    times: LabellingTimes,
) -> DatasetStats:
    """Statistics of a file, a published data set, or the rows' own data set, in this order."""
    from omnicost.cost import BUILT_IN, dataset_stats, stats_of_file
    from omnicost.plan import statistics_from_rows

    if annotations is not None:
        return stats_of_file(annotations)
    if measured is not None and dataset not in BUILT_IN:
        return statistics_from_rows(measured, dataset, times)
    if dataset is None:
        raise InputError("`dataset`, `annotations`", "neither is given", "give one of them")
    return dataset_stats(dataset)
