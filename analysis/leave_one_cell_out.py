"""Can the planner's surface predict a cell of Table 2 that it has not seen?

Each of the 39 cells (3 data sets x (3 mask shares x 4 weak types + all masks)) is left out in turn,
the surface is fitted to the other 12 of its data set (the shape of the curves comes from the other
two data sets), and the prediction is compared with the recorded AP. Two rulers beside it: the worth
of a weak label held fixed at its neighbour in mask share, and AP over full taken as it stands to be
concave in log(1 + f / f0), without the masked images' own share.

    python analysis/leave_one_cell_out.py          # about 5 s; --json for scripts
"""

from __future__ import annotations

import argparse
import json
from typing import NamedTuple

import numpy as np
from scipy.optimize import nnls
from scipy.stats import binomtest

from omnicost.annotation import WEAK_TYPES
from omnicost.cost import BUILT_IN
from omnicost.plan.observations import PRIOR_NOISE_SD, Observations, observe
from omnicost.plan.prior import learn_shape
from omnicost.plan.surface import fit_surface
from omnicost.results import paper_rows

LEVEL = 0.8
DRAWS = 1000


class Prediction(NamedTuple):
    """One left-out cell: recorded and predicted AP, percent."""

    dataset: str
    kind: str
    share: float
    recorded: float
    predicted: float
    low: float
    high: float
    nearest: float
    literal: float

    @property
    def covered(self) -> bool:
        """Whether the interval holds the recorded AP."""
        return self.low <= self.recorded <= self.high


def predict(rows: Observations, index: int, others: list[Observations]) -> Prediction:
    """The left-out cell from the 12 others, the interval being that of one student."""
    rng = np.random.default_rng(index)
    kept = rows.without(index)
    # Without the 100% cell, full supervision is inferred: the shape says how far curves still rise.
    surface = fit_surface(kept, learn_shape(others), rng, DRAWS, rows.images, full_required=False)
    share, kind = float(rows.share[index]), int(rows.kind[index])
    worth, draws = 1.0, np.ones(DRAWS)
    if kind >= 0:
        position = surface.types.index(WEAK_TYPES[kind])
        worth = float(surface.at(rows.masks[index])[position])
        draws = surface.draws_at(rows.masks[index])[:, position]
    centre = surface.scale * (share + (1 - share) * worth)
    drawn = surface.full_draws * (share + (1 - share) * draws)
    drawn = drawn + PRIOR_NOISE_SD * rng.standard_normal(DRAWS)
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Prediction(
        rows.dataset,
        str(WEAK_TYPES[kind]) if kind >= 0 else "mask",
        share,
        float(rows.ap[index]),
        centre,
        float(low),
        float(high),
        _nearest(kept, kind, share),
        _literal(kept, kind, share),
    )


def _nearest(kept: Observations, kind: int, share: float) -> float:
    """AP of the cell of the same type with the next mask share; the best cell for all masks."""
    own = kept.kind == kind
    if not own.any():
        return float(kept.ap.max())
    step = np.abs(np.log10(kept.share[own] + 1e-3) - np.log10(share + 1e-3))
    return float(kept.ap[own][step.argmin()])


def _literal(kept: Observations, kind: int, share: float) -> float:
    """Least squares with AP itself non-decreasing and concave in log(1 + f / f0), f0 = 0.1%."""
    knots = np.log1p(np.array([0.01, 0.1, 1.0]) / 0.001)
    design = np.zeros((len(kept.ap), 1 + 3 * len(WEAK_TYPES)))
    design[:, 0] = 1
    for row, (k, f) in enumerate(zip(kept.kind, kept.share, strict=True)):
        if k >= 0:
            bends = np.maximum(knots - np.log1p(f / 0.001), 0)
            design[row, 1 + 3 * k : 4 + 3 * k] = -bends
    solution = nnls(design, kept.ap)[0]
    query = np.zeros(design.shape[1])
    query[0] = 1
    if kind >= 0:
        query[1 + 3 * kind : 4 + 3 * kind] = -np.maximum(knots - np.log1p(share / 0.001), 0)
    return float(query @ solution)


def run() -> list[Prediction]:
    """All 39 predictions."""
    observed = {name: observe(paper_rows(name)) for name in BUILT_IN}
    return [
        predict(rows, index, [one for other, one in observed.items() if other != name])
        for name, rows in observed.items()
        for index in range(len(rows.ap))
    ]


def summary(predictions: list[Prediction]) -> dict[str, object]:
    """Mean and largest errors in AP, and coverage with its 95% binomial interval."""
    recorded = np.array([one.recorded for one in predictions])
    covered = sum(one.covered for one in predictions)
    chance = binomtest(covered, len(predictions)).proportion_ci(0.95)
    errors = {
        name: np.abs(np.array([getattr(one, name) for one in predictions]) - recorded)
        for name in ("predicted", "nearest", "literal")
    }
    return {
        "cells": len(predictions),
        "mean_absolute_error": {name: float(e.mean()) for name, e in errors.items()},
        "median_absolute_error": {name: float(np.median(e)) for name, e in errors.items()},
        "largest_error": {name: float(e.max()) for name, e in errors.items()},
        "covered": covered,
        "coverage_interval_95": [chance.low, chance.high],
        "mean_interval_width": float(np.mean([one.high - one.low for one in predictions])),
    }


def main() -> None:
    """Print every cell and the summary."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    predictions = run()
    totals = summary(predictions)
    if arguments.json:
        cells = [one._asdict() | {"covered": one.covered} for one in predictions]
        print(json.dumps({"cells": cells, "summary": totals}, indent=2))
        return
    print(f"{'data set':11} {'rest':6} {'masks':>5} {'AP':>6} {'pred.':>6} {'error':>6}  80%")
    for one in predictions:
        print(
            f"{one.dataset:11} {one.kind:6} {one.share:5.0%} {one.recorded:6.1f} "
            f"{one.predicted:6.1f} {one.predicted - one.recorded:+6.1f}  "
            f"{one.low:.1f} to {one.high:.1f}{'' if one.covered else '   missed'}"
        )
    print()
    for name, label in (
        ("predicted", "the planner's surface"),
        ("nearest", "the cell at the next mask share"),
        ("literal", "AP itself concave in log(1 + f / f0)*"),
    ):
        error = {key: totals[f"{key}_error"][name] for key in ("mean_absolute", "median_absolute")}  # type: ignore[index]
        largest = totals["largest_error"][name]  # type: ignore[index]
        print(
            f"{label:38} mean error {error['mean_absolute']:.2f} AP, "
            f"median {error['median_absolute']:.2f}, largest {largest:.1f}"
        )
    low, high = totals["coverage_interval_95"]  # type: ignore[misc]
    print(
        f"\n80% intervals hold {totals['covered']} of {totals['cells']} "
        f"(95% binomial interval {low:.0%} to {high:.0%}), "
        f"{totals['mean_interval_width']:.1f} AP wide on average"
    )
    print("* fitted without a prior, so that it has nothing to go by outside the other cells")


if __name__ == "__main__":
    main()
