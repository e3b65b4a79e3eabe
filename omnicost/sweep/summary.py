"""What a sweep says: the dry run's figures, the table at the end, and what to know about both."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from rich.table import Column, Table

from omnicost.annotation import Policy
from omnicost.engine.graph import Graph, ParamsT
from omnicost.engine.store import Store
from omnicost.models.detectors.detector import trained_on_coco
from omnicost.models.students.start import seen_by
from omnicost.results import SMOKE, Row, TeacherRow
from omnicost.sweep.decider import Decision, Expected
from omnicost.sweep.estimate import SweepEstimate
from omnicost.sweep.launch import Finished
from omnicost.sweep.progress import duration
from omnicost.sweep.rows import DEFAULT_VARIANT
from omnicost.sweep.stages.stage_params import DetectParams, StudentParams
from omnicost.sweep.step_versions import changes


def full_supervision(rows: Sequence[Row], row: Row) -> Row | None:
    """The row with masks on every image that belongs to a row: same data, seed and variant."""
    belongs = attrgetter("dataset", "seed", "variant", "config_hash")
    alike = (other for other in rows if belongs(other) == belongs(row))
    return next((other for other in alike if other.mask_share == 1), None)


def compared(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Each row's AP as a share of full supervision, and how many times cheaper its labels are."""
    found = []
    for row in rows:
        full, paid = full_supervision(rows, row), row.seconds_per_image
        found.append(
            {
                "dataset": row.dataset,
                "policy": row.policy.as_dict(),
                "seed": row.seed,
                "variant": row.variant,
                "ap": row.ap,
                "share_of_full": row.ap / full.ap if full and full.ap > 0 else None,
                "seconds_per_image": paid,
                "saving": full.seconds_per_image / paid if full and paid > 0 else None,
                "teacher_miou": row.teacher_miou,
                "truncated": row.truncated,
            }
        )
    return found


def results_table(rows: Sequence[Row], title: str) -> Table:
    """Cell, AP, share of full, seconds per image, saving, over the seeds: fits 80 columns."""
    seeds = len({row.seed for row in rows})
    scatter = ["sd"] if seeds > 1 else []
    figures = _figures("AP", *scatter, "of full", "teacher mIoU", "s/image", "saving")
    table = Table(Column("cell", overflow="fold"), *figures, title=title, title_justify="left")
    datasets = len({row.dataset for row in rows}) > 1
    for alike in _by_cell(rows):
        row, _ = alike[0]
        aps = [each.ap for each, _ in alike]
        spread = f"{stdev(aps):.1f}" if len(aps) > 1 else "-"
        table.add_row(
            _cell_name(row, datasets),
            f"{mean(aps):.1f}{'*' if row.truncated else ''}",
            *(spread for _ in scatter),
            _mean([told["share_of_full"] for _, told in alike], "{:.0%}"),
            _mean([each.teacher_miou for each, _ in alike], "{:.1f}"),
            f"{row.seconds_per_image:.1f}",
            _mean([told["saving"] for _, told in alike], "{:.1f}x"),
        )
    notes = [f"means over {seeds} seeds"] if seeds > 1 else []
    notes += ["* stopped before its schedule ended"] if any(row.truncated for row in rows) else []
    table.caption = "; ".join(notes) or None
    return table


def _figures(*names: str) -> list[Column]:
    return [Column(name, justify="right") for name in names]


def _by_cell(rows: Sequence[Row]) -> Iterable[list[tuple[Row, dict[str, Any]]]]:
    """Rows with their comparisons, those that differ in the seed alone together."""
    cells = defaultdict(list)
    for row, told in zip(rows, compared(rows), strict=True):
        cells[row.dataset, str(row.policy), row.variant, row.truncated].append((row, told))
    return cells.values()


def _cell_name(row: Row, datasets: bool) -> str:
    parts = [row.dataset] if datasets else []
    parts.append(policy_name(row.policy))
    parts += [row.variant] if row.variant != DEFAULT_VARIANT else []
    return " ".join(parts)


def _mean(values: Sequence[float | None], form: str) -> str:
    known = [value for value in values if value is not None]
    return _optional(mean(known) if known else None, form)


def policy_name(policy: Policy) -> str:
    """``10% mask, 90% point``; ``point`` alone when it is all."""
    if len(policy.shares) == 1:
        return f"all {next(iter(policy))}"
    return ", ".join(f"{100 * share:.3g}% {each}" for each, share in reversed(policy.shares))


def _optional(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)


def teacher_table(rows: Sequence[TeacherRow], title: str) -> Table:
    """Table 5's form: how well each teacher's masks agree with the ground truth."""
    columns = _figures("mIoU", "precision", "recall", "F1")
    table = Table("masks", "type", "variant", *columns, title=title, title_justify="left")
    for row in rows:
        figures = (row.miou, row.precision50, row.recall50, row.f1)
        table.add_row(
            f"{row.policy.get('mask', 0.0):.3g}",
            row.annotation,
            row.variant,
            *(_optional(value, "{:.1f}") for value in figures),
        )
    return table


def estimate_table(figures: SweepEstimate, title: str) -> Table:
    """Device time by group of stages: naive, shared, and what is left to do."""
    columns = _figures("naive", "shared", "left")
    table = Table("device time", *columns, "from", title=title, title_justify="left")
    for group, hours in figures.hours.items():
        origin = "recorded" if group in figures.recorded else "prior"
        table.add_row(group, *map(_hours, hours), origin)
    table.add_section()
    table.add_row("all", *map(_hours, figures.total), "")
    days = [duration(3600 * 24 * figures.days(hours)) for hours in figures.total]
    machine = f"on {figures.hardware.devices} x {figures.hardware.device}"
    table.add_row(machine, *days, "")
    return table


def _hours(hours: float) -> str:
    """``7,500 h``, ``3.2 h``, ``12 min``, ``0.3 s``."""
    if hours < 1:
        return duration(3600 * hours)
    return f"{hours:,.0f} h" if hours >= 10 else f"{hours:.1f} h"


def estimate_lines(figures: SweepEstimate) -> list[str]:
    """What the table does not say."""
    most = max(figures.memory_gb.items(), key=lambda item: item[1], default=("", 0.0))
    fits = most[1] <= figures.hardware.memory_gb
    return [
        f"{figures.cells} cells; {figures.stages} unique stages instead of "
        f"{figures.naive_stages}; {figures.stages - figures.stages_left} are in the store",
        f"disk: about {figures.disk_gb:,.1f} GB more",
        f"memory of a device: about {most[1]:.0f} GB ({most[0]}), "
        f"{'fits' if fits else 'MORE THAN'} {figures.hardware.memory_gb:g} GB",
        *figures.assumptions,
    ]


def estimate_json(figures: SweepEstimate) -> dict[str, Any]:
    """The dry run as plain data."""
    return {
        "cells": figures.cells,
        "stages": figures.stages,
        "naive_stages": figures.naive_stages,
        "stages_left": figures.stages_left,
        "device_hours": {k: v._asdict() for k, v in figures.hours.items()},
        "device_hours_total": figures.total._asdict(),
        "days": {k: figures.days(v) for k, v in figures.total._asdict().items()},
        "recorded": list(figures.recorded),
        "disk_gb": figures.disk_gb,
        "memory_gb": dict(figures.memory_gb),
        "hardware": figures.hardware.model_dump(),
        "assumptions": list(figures.assumptions),
    }


def finished_json(finished: Finished, plot: Path | None) -> dict[str, Any]:
    """The end of a sweep as plain data."""
    return {
        "results": str(finished.path),
        "plot": None if plot is None else str(plot),
        "computed_stages": len(finished.end.computed),
        "rows": [row.model_dump(mode="json") for row in finished.rows],
        "compared": compared(finished.rows),
        "teacher_rows": [row.model_dump(mode="json") for row in finished.teacher_rows],
        "failed": dict(finished.end.failed),
        "stopped": {cell: dict(far.report) for cell, far in finished.end.stopped.items()},
        **({"decision": decision_json(finished.decision)} if finished.decision else {}),
    }


def decision_table(decision: Decision, title: str) -> Table:
    """Every cell with its AP, measured or forecast, its interval, and why it was run or not."""
    fronts = len(decision.regret) > 1
    cells, why = Column("cell", overflow="fold"), Column("why", overflow="fold")
    figures = _figures("runs", "AP", "5% to 95%", "on front")
    table = Table(cells, *figures, why, title=title, title_justify="left")
    for cell in decision.cells:
        known = cell.forecast
        table.add_row(
            f"{cell.front} {policy_name(cell.policy)}" if fronts else policy_name(cell.policy),
            str(cell.runs) if cell.runs else "-",
            f"~{known.ap:.1f}" if cell.ap is None else f"{cell.ap:.1f}",
            f"{known.low:.1f} to {known.high:.1f}",
            f"{known.on_front:.0%}",
            cell.why,
        )
    table.caption = "~ forecast, not measured: no row"
    return table


def decision_lines(decision: Decision) -> list[str]:
    """What the table does not say."""
    regrets = ", ".join(
        f"{regret:.2f} AP" + (f" on {front}" if len(decision.regret) > 1 else "")
        for front, regret in decision.regret.items()
    )
    ended = [f"decided: {decision.why}"] if decision.why else []
    return [
        *ended,
        f"plans are expected to lose {regrets} to what was not measured; "
        f"{_hours(decision.device_hours)} of devices are in the store",
    ]


def decision_json(decision: Decision) -> dict[str, Any]:
    """The same as plain data."""
    return {
        "expected_regret": decision.regret,
        "device_hours": decision.device_hours,
        "why": decision.why,
        "cells": [
            {
                "front": cell.front,
                "policy": cell.policy.as_dict(),
                "seconds_per_image": cell.seconds_per_image,
                "measured_ap": cell.ap,
                "runs": cell.runs,
                **cell.forecast._asdict(),
                "why": cell.why,
            }
            for cell in decision.cells
        ],
    }


def expected_line(expected: Expected) -> str:
    """What deciding is expected to take, for a dry run."""
    (hours, most_hours), (students, most_students) = expected.hours, expected.students
    return (
        f"deciding is expected to take {_hours(hours)} of devices and {students:.0f} students, "
        f"in 9 of 10 cases at most {_hours(most_hours)} and {most_students:.0f} "
        f"({expected.simulations} simulated campaigns)"
    )


def next_command(rows: Sequence[Row], path: Path) -> str:
    """What to try with the rows."""
    if rows and rows[0].schedule == SMOKE:
        return "the same without --smoke; a trial run's rows are no ground for plans or plots"
    dataset = rows[0].dataset if rows else "coco"
    half = 0.5 * max((row.hours for row in rows), default=100.0)
    return f"omnicost plan --results {path} --dataset {dataset} --budget {half:.3g}h"


def failure_lines(failed: Mapping[str, str]) -> list[str]:
    """Every failed cell with its cause, cells of one cause together."""
    by_cause: dict[str, list[str]] = {}
    for cell, cause in failed.items():
        by_cause.setdefault(cause, []).append(cell)
    return [f"{', '.join(cells)}: {cause}" for cause, cells in by_cause.items()]


def caveats(graph: Graph) -> list[str]:
    """One line for each detector, start and trunk of a sweep that its figures depend on."""
    detectors = {told.detector.spec for told in _told(graph, DetectParams)}
    students = _told(graph, StudentParams)
    starts = {told.start.spec for told in students if told.start}
    trunks = {str(told.config.trunk) for told in students if told.config.trunk}
    return [
        *(
            f"{spec} learnt from COCO's boxes: on COCO's pictures its AP for none, class and point "
            "says more than new data would"
            for spec in sorted(filter(trained_on_coco, detectors))
        ),
        *(
            f"{spec} learnt from {dataset}'s masks: students that start from it show on "
            f"{dataset}'s pictures what labels add to masks, not what they buy alone"
            for spec in sorted(starts)
            for dataset in seen_by(spec)
        ),
        *(
            f"students go on from a trunk ({trunk}): not to be mixed with students of their own"
            for trunk in sorted(trunks)
        ),
    ]


def _told(graph: Graph, kind: type[ParamsT]) -> list[ParamsT]:
    """What the stages with such parameters are told."""
    return [stage.params for stage in graph.stages.values() if isinstance(stage.params, kind)]


def troubled_stages(graph: Graph, store: Store) -> list[str]:
    """One line for each kind of stage that waited long for its data, with what to raise.

    Then one for each stage that was computed with half its batch.
    """
    done = [store.manifest(key) for key in graph.stages if store.has(key)]
    waited = sorted((each for each in done if each.advice), key=attrgetter("waiting"))
    worst = {manifest.stage: str(manifest.advice) for manifest in waited}
    halved = (
        f"{manifest.label} was computed with half its batch, having run out of memory before: its "
        "last bits differ from those of an undisturbed run"
        for manifest in done
        if manifest.half_batch
    )
    return [*worst.values(), *halved]


def stale_steps(graph: Graph) -> list[str]:
    """One line if code of the graph's steps changed and its VERSION did not."""
    found = changes({stage.name for stage in graph.stages.values()})
    steps = dict.fromkeys(step for change in found for step in change.steps)
    if not found:
        return []
    return [
        f"{', '.join(change.path for change in found)} changed and VERSION of {', '.join(steps)} "
        "did not: what the store has may come from the old code; python -m "
        "omnicost.sweep.step_versions says what to do"
    ]
