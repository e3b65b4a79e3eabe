"""Timed annotations to labelling times: idle rows dropped, bootstrap intervals, spreads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np

from omnicost.calibrate.learning import find_learning
from omnicost.calibrate.overheads import find_overheads
from omnicost.calibrate.timings import LABELS, Timings
from omnicost.cost import SECONDS_PER_HOUR, Interval, LabellingTimes, OverheadsByType
from omnicost.cost.spread import log_error
from omnicost.cost.times import ANNOTATION_LOG_SD, Learning, constant_of
from omnicost.errors import InputError

# Iglewicz and Hoaglin 1993: modified z-scores above 3.5 are outliers.
IDLE_CUT: Final = 3.5
MAD_TO_SD: Final = 1.4826
# Below this spread of the logs a cut would drop ordinary rows of a very regular annotator.
LEAST_LOG_SD: Final = 0.2
LEAST_ROWS: Final = 30
LEAST_ANNOTATORS: Final = 3
LEAST_FREEDOM: Final = 10
LEVEL: Final = 0.95
BOOTSTRAPS: Final = 2_000
_CHUNK: Final = 2_000_000


class Estimate(NamedTuple):
    """Mean seconds of one annotation, its 95% bootstrap interval, and what it rests on."""

    seconds: float
    interval: Interval
    rows: int
    annotations: float


class Idle(NamedTuple):
    """Rows dropped as idle time."""

    rows: int
    hours: float
    longest_seconds: float


@dataclass(frozen=True)
class Calibration:
    """What a log says about labelling times.

    Attributes:
        labels: estimate of each label that was timed.
        annotators: estimate of each label and annotator.
        log_sd: spread of single annotations of each label.
        project_log_sd: spread between annotators, where there are enough of them.
        idle: what the idle filter dropped, by label.
        kept_hours: hours of labelling that the estimates rest on.
        overheads: review, rework, idle and set-up time of types whose rows show them.
        learning: of labels whose rows show it.
        warnings: what to be careful about, one line each.
    """

    labels: Mapping[str, Estimate]
    annotators: Mapping[tuple[str, str], Estimate]
    log_sd: Mapping[str, float]
    project_log_sd: Mapping[str, float]
    idle: Mapping[str, Idle]
    kept_hours: float
    overheads: OverheadsByType
    learning: Mapping[str, Learning]
    warnings: tuple[str, ...]

    def labelling_times(self, source: str) -> LabellingTimes:
        """The published times with what was measured put in their place.

        Further points that were not timed themselves scale with the first ones.
        """
        data: dict[str, Any] = {
            constant_of(label): self._time(label, source) for label in self.labels
        }
        if "point" in self.labels and "point_further" not in self.labels:
            data["point_further"] = self._further_point(source)
        if self.project_log_sd:
            data["project_log_sd"] = dict(self.project_log_sd) | {
                "measured": sorted(self.project_log_sd)
            }
        if self.overheads:
            data["overheads"] = {
                str(label): one.model_dump() for label, one in self.overheads.items()
            }
        return LabellingTimes.from_mapping(data, source)

    def _time(self, label: str, source: str) -> dict[str, Any]:
        people = {who: row for (what, who), row in self.annotators.items() if what == label and who}
        return {
            "seconds": round(self.labels[label].seconds, 4),
            "source": source,
            "log_sd": round(self.log_sd[label], 4),
            "measured": _measured(self.labels[label]),
            "learning": self.learning.get(label),
            "annotators": {
                who: {"seconds": round(row.seconds, 4), **_measured(row)}
                for who, row in people.items()
            },
        }

    def _further_point(self, source: str) -> dict[str, Any]:
        default = LabellingTimes()
        ratio = default.point_further.seconds / default.point_first.seconds
        return {
            "seconds": round(self.labels["point"].seconds * ratio, 4),
            "source": f"{source}, scaled from the first point by the published ratio",
            "log_sd": round(self.log_sd["point"], 4),
        }


def _measured(row: Estimate) -> dict[str, Any]:
    low, high = row.interval
    return {"interval": [round(low, 4), round(high, 4)], "rows": row.rows}


def calibrate(timings: Timings, seed: int = 0, drop_idle: bool = True) -> Calibration:
    """Estimate labelling times from timed annotations.

    A mean is the sum of seconds over the sum of annotations: what a project will pay for. Its
    interval resamples rows, so it speaks for these annotators; how others would differ is
    `project_log_sd`.

    Raises:
        InputError: if a row took no time at all.
    """
    if count := np.count_nonzero(timings.seconds <= 0):
        raise InputError("timings", f"{count} rows took 0 seconds", "remove them from the log")
    labelled, idle_rows = timings.activities == "label", np.zeros(len(timings), dtype=bool)
    if not labelled.any():
        raise InputError("timings", "no row timed labelling", "give rows of activity label")
    if drop_idle:
        idle_rows[labelled] = find_idle(timings.select(labelled))
    kept = timings.select(labelled & ~idle_rows)
    rng = np.random.default_rng(seed)
    rows = {label: own for label in LABELS if len(own := kept.select(kept.labels == label))}
    estimates = {label: _estimate(own, rng) for label, own in rows.items()}
    people = {
        (label, who): _estimate(own.select(own.annotators == who), rng)
        for label, own in rows.items()
        for who in sorted(set(own.annotators))
    }
    between = {
        label: sd
        for label in rows
        if label != "point_further" and (sd := _between(label, people, estimates)) is not None
    }
    return Calibration(
        labels=estimates,
        annotators=people,
        log_sd={label: _single_log_sd(own) for label, own in rows.items()},
        project_log_sd=between,
        idle={
            label: _idle(timings.select((timings.labels == label) & idle_rows)) for label in rows
        },
        kept_hours=float(kept.seconds.sum()) / SECONDS_PER_HOUR,
        overheads=find_overheads(timings, idle_rows),
        learning={
            label: learning for label, own in rows.items() if (learning := find_learning(own))
        },
        warnings=_warnings(estimates, people, between),
    )


def find_idle(timings: Timings) -> np.ndarray:
    """Rows far above what their annotator takes for one such annotation: (T,) bool.

    The logarithm's distance from the annotator's median, in robust standard deviations of the
    label; only long rows are idle.
    """
    idle = np.zeros(len(timings), dtype=bool)
    for label in set(timings.labels):
        rows = np.flatnonzero(timings.labels == label)
        residuals = _residuals(timings.select(timings.labels == label))
        sd = max(MAD_TO_SD * float(np.median(np.abs(residuals))), LEAST_LOG_SD)
        idle[rows] = residuals > IDLE_CUT * sd
    return idle


def _residuals(timings: Timings) -> np.ndarray:
    """Log seconds of one annotation less the median of the same annotator: (T,) float64."""
    logs = np.log(timings.seconds / timings.counts)
    centres = np.full(len(logs), np.median(logs))
    for who in set(timings.annotators):
        own = timings.annotators == who
        if own.sum() >= 5:
            centres[own] = np.median(logs[own])
    return logs - centres


def _estimate(rows: Timings, rng: np.random.Generator) -> Estimate:
    return Estimate(
        seconds=float(rows.seconds.sum() / rows.counts.sum()),
        interval=_mean_interval(rows.seconds, rows.counts, rng),
        rows=len(rows),
        annotations=float(rows.counts.sum()),
    )


def _mean_interval(seconds: np.ndarray, counts: np.ndarray, rng: np.random.Generator) -> Interval:
    """The percentile interval of the mean per annotation, rows resampled together."""
    if len(seconds) < 2:
        return Interval(*(2 * [float(seconds.sum() / counts.sum())]))
    from scipy.stats import bootstrap

    low, high = bootstrap(
        (seconds, counts),
        lambda some, of, axis: some.sum(axis) / of.sum(axis),
        paired=True,
        vectorized=True,
        n_resamples=BOOTSTRAPS,
        batch=max(1, _CHUNK // len(seconds)),
        confidence_level=LEVEL,
        method="percentile",
        rng=rng,
    ).confidence_interval
    return Interval(float(low), float(high))


def _single_log_sd(rows: Timings) -> float:
    """Log standard deviation of a single annotation within annotators.

    The mean of m annotations has 1/m of the variance, so rows count with their number of them.
    Too few rows leave the published spread.
    """
    logs = np.log(rows.seconds / rows.counts)
    residuals = logs.copy()
    groups = set(rows.annotators)
    for who in groups:
        own = rows.annotators == who
        residuals[own] -= np.average(logs[own], weights=rows.counts[own])
    freedom = len(rows) - len(groups)
    if freedom < LEAST_FREEDOM:
        return ANNOTATION_LOG_SD
    return float(min(np.sqrt((rows.counts * residuals**2).sum() / freedom), 3.0))


def _between(
    label: str, people: Mapping[tuple[str, str], Estimate], estimates: Mapping[str, Estimate]
) -> float | None:
    """Log standard deviation of annotators' means, their sampling noise taken out.

    None with fewer than `LEAST_ANNOTATORS`. The noise of the overall mean is added back: a project
    pays for that error as well.
    """
    own = [row for (what, who), row in people.items() if what == label and who and row.rows >= 5]
    if len(own) < LEAST_ANNOTATORS:
        return None
    logs = np.log([row.seconds for row in own])
    noise = np.mean([log_error(row.interval) ** 2 for row in own])
    between = max(float(logs.var(ddof=1) - noise), 0.0)
    return round(min(float(np.sqrt(between + log_error(estimates[label].interval) ** 2)), 3.0), 4)


def _idle(rows: Timings) -> Idle:
    longest = float(rows.seconds.max()) if len(rows) else 0.0
    return Idle(len(rows), float(rows.seconds.sum()) / SECONDS_PER_HOUR, longest)


def _warnings(
    estimates: Mapping[str, Estimate],
    people: Mapping[tuple[str, str], Estimate],
    between: Mapping[str, float],
) -> tuple[str, ...]:
    lines = []
    for label, row in estimates.items():
        if row.rows < LEAST_ROWS:
            lines.append(f"{label}: only {row.rows} rows (want {LEAST_ROWS}); weak evidence")
        if label not in between and label != "point_further":
            known = len([1 for what, who in people if what == label and who])
            lines.append(
                f"{label}: {known or 'no'} known annotator{'' if known == 1 else 's'} "
                f"(want {LEAST_ANNOTATORS}); the project-wide spread stays an assumption"
            )
    return tuple(lines)
