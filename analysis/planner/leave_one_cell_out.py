"""Do the planner's intervals hold what they say, on cells that it has not seen?

Three tests, each cell predicted as one further student's AP:

- Table 2: each of the 39 cells from the other 12 of its data set; the shape of the curves comes
  from the other two data sets.
- Published series of other methods (`series` in results/paper/baselines.csv): each row from the
  others of its series.
- Tiny rows from one run per cell: every run of another seed from all runs of one seed.

Printed are the mean error beside two rulers (the same type's cell at the next mask share; a line in
log(1 + masks / 30) through its two nearest), coverage with its 95% binomial interval, and the mean
interval score (Gneiting and Raftery 2007; width plus what is missed, weighted; lower is better).

    python -m analysis.planner.leave_one_cell_out          # seconds; --json for scripts
    python -m analysis.planner.leave_one_cell_out results/tiny/version-1/demo-fresh-head.jsonl
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import binomtest

from analysis.recorded import RESULTS
from omnicost.annotation import WEAK_TYPES
from omnicost.cost import BUILT_IN
from omnicost.forecast.model import axis, forecast
from omnicost.forecast.observations import Observations, observe
from omnicost.forecast.prior import Shape, learn_shape
from omnicost.results import Row, paper_rows, published_series, read_rows

LEVELS = (0.5, 0.8, 0.95)
DRAWS = 2000
FIRST_ROWS = RESULTS / "tiny" / "version-1"  # of the tiny worlds as first drawn
TINY = (FIRST_ROWS / "demo-fresh-head.jsonl", FIRST_ROWS / "demo.jsonl")


class Prediction(NamedTuple):
    """One cell that was not seen: recorded and predicted AP, percent."""

    source: str
    weak: str
    share: float
    recorded: float
    predicted: float
    intervals: tuple[tuple[float, float], ...]
    """One for each of `LEVELS`."""
    nearest: float
    line: float


def predict(
    kept: Observations, shape: Shape, weak: int, masks: float, share: float
) -> tuple[float, np.ndarray]:
    """Expected AP of a cell, and draws of one student of it."""
    rng = np.random.default_rng(0)
    point = np.array([max(weak, 0)]), np.array([masks])
    drawn = forecast(kept, shape, *point, rng, DRAWS)
    lacks = 0.0 if weak < 0 else 1 - share
    expected = drawn.full - lacks * drawn.lacking[:, 0]
    student = expected + drawn.run - lacks * drawn.misfit[:, point[0][0]]
    return float(expected.mean()), student


def leave_out(rows: Observations, shape: Shape, source: str) -> Iterable[Prediction]:
    """Every cell of some rows from the others."""
    cells = rows.cells
    for cell, (weak, masks, share, recorded) in enumerate(
        zip(
            *(one.tolist() for one in (cells.weak, cells.masks, cells.share, cells.ap)), strict=True
        )
    ):
        kept = rows.where(rows.cell != cell)
        yield _prediction(kept, shape, source, weak, masks, share, recorded)


def _prediction(
    kept: Observations,
    shape: Shape,
    source: str,
    weak: int,
    masks: float,
    share: float,
    recorded: float,
) -> Prediction:
    expected, student = predict(kept, shape, weak, masks, share)
    bounds = [np.quantile(student, [(1 - one) / 2, (1 + one) / 2]).tolist() for one in LEVELS]
    return Prediction(
        source,
        str(WEAK_TYPES[weak]) if weak >= 0 else "mask",
        share,
        recorded,
        expected,
        tuple((low, high) for low, high in bounds),
        _nearest(kept, weak, masks),
        _line(kept, weak, masks),
    )


def _nearest(kept: Observations, weak: int, masks: float) -> float:
    """AP of the cell of the same type with the next number of masks; the best for all masks."""
    own = (kept.weak == weak) & (weak >= 0)
    if not own.any():
        return float(kept.ap.max())
    return float(kept.ap[own][np.abs(axis(kept.masks[own]) - axis(masks)).argmin()])


def _line(kept: Observations, weak: int, masks: float) -> float:
    """AP on the line through the two nearest cells, those on all masks being of every type."""
    own = (kept.weak == weak) | kept.is_full
    order = np.argsort(np.abs(axis(kept.masks[own]) - axis(masks)), kind="stable")[:2]
    place, ap = axis(kept.masks[own][order]), kept.ap[own][order]
    if len(place) < 2 or place[0] == place[1]:
        return float(ap.mean()) if len(ap) else _nearest(kept, weak, masks)
    return float(ap[0] + (ap[1] - ap[0]) * (axis(masks) - place[0]) / (place[1] - place[0]))


def table2() -> list[Prediction]:
    """The 39 cells of Table 2."""
    observed = {name: observe(paper_rows(name)) for name in BUILT_IN}
    return [
        one
        for name, rows in observed.items()
        for one in leave_out(
            rows, learn_shape([other for key, other in observed.items() if key != name]), name
        )
    ]


def series() -> list[Prediction]:
    """The rows of the published series."""
    shape = learn_shape([observe(paper_rows(name)) for name in BUILT_IN])
    return [
        one
        for name, rows in published_series().items()
        for one in leave_out(observe(rows), shape, name)
    ]


def other_seeds(rows: Sequence[Row]) -> list[Prediction]:
    """Every run of other seeds from the runs of one seed, for each data set and seed."""
    shape = learn_shape([observe(paper_rows(name)) for name in BUILT_IN])
    found = []
    for name in dict.fromkeys(row.dataset for row in rows):
        every = observe([row for row in rows if row.dataset == name])
        for seed in np.unique(every.seed).tolist():
            kept, held = every.where(every.seed == seed), every.where(every.seed != seed)
            found += [
                _prediction(kept, shape, f"{name}, seed {seed}", *values)
                for values in zip(
                    held.weak.tolist(),
                    held.masks.tolist(),
                    held.share.tolist(),
                    held.ap.tolist(),
                    strict=True,
                )
            ]
    return found


def summary(predictions: Sequence[Prediction]) -> dict[str, Any]:
    """Errors in AP, and for each level coverage, its binomial interval, width and score."""
    recorded = np.array([one.recorded for one in predictions])
    errors = {
        name: float(np.abs(np.array([getattr(one, name) for one in predictions]) - recorded).mean())
        for name in ("predicted", "nearest", "line")
    }
    levels = {}
    for index, level in enumerate(LEVELS):
        low, high = np.array([one.intervals[index] for one in predictions]).T
        missed = np.maximum(low - recorded, 0) + np.maximum(recorded - high, 0)
        held = int((missed == 0).sum())
        reach = binomtest(held, len(recorded)).proportion_ci(0.95)
        levels[f"{level:.0%}"] = {
            "held": held,
            "binomial_interval_95": [reach.low, reach.high],
            "width": float((high - low).mean()),
            "interval_score": float((high - low + 2 / (1 - level) * missed).mean()),
        }
    return {"cells": len(recorded), "mean_absolute_error": errors, "levels": levels}


def run(tiny: Sequence[Path] = TINY) -> dict[str, list[Prediction]]:
    """All three tests, the last one for each file."""
    return {
        "Table 2, one cell left out": table2(),
        "published series, one row left out": series(),
        **{f"{path.stem}, from one run per cell": other_seeds(read_rows(path)) for path in tiny},
    }


def _print(name: str, predictions: Sequence[Prediction], cells: bool) -> None:
    totals = summary(predictions)
    print(f"\n{name} ({totals['cells']})")
    if cells:
        for one in predictions:
            low, high = one.intervals[1]
            print(
                f"  {one.source:34} {one.weak:6} {one.share:5.0%} {one.recorded:6.1f} "
                f"{one.predicted:6.1f} {one.predicted - one.recorded:+6.1f}  80%: {low:.1f} to "
                f"{high:.1f}{'' if low <= one.recorded <= high else '   missed'}"
            )
    error = totals["mean_absolute_error"]
    print(
        f"  mean error {error['predicted']:.2f} AP; of the next cell {error['nearest']:.2f}, of a "
        f"line {error['line']:.2f}"
    )
    for level, one in totals["levels"].items():
        low, high = one["binomial_interval_95"]
        print(
            f"  {level} intervals hold {one['held'] / totals['cells']:.0%} (95% binomial interval "
            f"{low:.0%} to {high:.0%}), {one['width']:.1f} AP wide, score "
            f"{one['interval_score']:.1f}"
        )


def main() -> None:
    """Print the three tests."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tiny", nargs="*", type=Path, default=TINY)
    parser.add_argument("--cells", action="store_true", help="print every prediction")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = run(arguments.tiny)
    if arguments.json:
        plain = {name: summary(one) for name, one in found.items()}
        print(json.dumps(plain, indent=2))
        return
    for name, one in found.items():
        _print(name, one, arguments.cells)


if __name__ == "__main__":
    main()
