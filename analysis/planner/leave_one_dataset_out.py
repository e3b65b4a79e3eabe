"""What does `--like` say about a data set that it has never seen?

Each of the three data sets of Table 2 plays a project without a sweep: its 12 shares of full
supervision are predicted from the other two. "plain ratios" is the mean of the two references'
shares at the same mask share. Then the project runs a pilot of a few students of its own, and the
cells outside the pilot are predicted again.

    python -m analysis.planner.leave_one_dataset_out       # about 10 s; --json for scripts
"""

from __future__ import annotations

import argparse
import json
from typing import NamedTuple

import numpy as np
from scipy.stats import binomtest

from omnicost.annotation import WEAK_TYPES
from omnicost.cost import BUILT_IN
from omnicost.forecast.observations import Observations, observe
from omnicost.forecast.prior import learn_shape
from omnicost.forecast.surface import Surface, fit_surface
from omnicost.forecast.transfer import pilot_surface, transfer
from omnicost.results import paper_rows

LEVEL = 0.8
DRAWS = 2000
# Pilots as (weak type, mask share); None is masks on every image.
PILOTS: dict[str, tuple[tuple[str | None, float], ...]] = {
    "box 0%": (("box", 0.0),),
    "none 0%, 100%": (("none", 0.0), (None, 1.0)),
    "none 0%, box 0%": (("none", 0.0), ("box", 0.0)),
    "point 1%, box 1%": (("point", 0.01), ("box", 0.01)),
    "none, point, box 0%": (("none", 0.0), ("point", 0.0), ("box", 0.0)),
    "none, point, box 1%": (("none", 0.01), ("point", 0.01), ("box", 0.01)),
}


class Cell(NamedTuple):
    """One cell: its share of full supervision, predicted and recorded."""

    dataset: str
    kind: str
    share: float
    recorded: float
    predicted: float
    low: float
    high: float

    @property
    def covered(self) -> bool:
        """Whether the interval holds the recorded share."""
        return self.low <= self.recorded <= self.high


def predict(surface: Surface, rows: Observations, indices: list[int]) -> list[Cell]:
    """Cells of one data set from a surface, intervals being those of one student."""
    full = float(rows.ap[rows.is_full].mean())
    cells = []
    for index in indices:
        kind, share = WEAK_TYPES[int(rows.weak[index])], float(rows.share[index])
        position = surface.types.index(kind)
        masks = float(rows.masks[index])
        drawn = share + (1 - share) * surface.draws_at(masks)[:, position]
        drawn = drawn + surface.run_draws + (1 - share) * surface.misfit_draws[:, position]
        low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        cells.append(
            Cell(
                rows.dataset,
                str(kind),
                share,
                float(rows.ap[index]) / full,
                float(share + (1 - share) * surface.at(masks)[position]),
                float(low),
                float(high),
            )
        )
    return cells


def references(held: Observations, observed: list[Observations]) -> list[Surface]:
    """Surfaces of the other data sets; the held one has no part in their shape."""
    others = [one for one in observed if one.dataset != held.dataset]
    return [
        fit_surface(
            one,
            learn_shape([other for other in others if other is not one]),
            np.random.default_rng(index),
            DRAWS,
            held.images,
        )
        for index, one in enumerate(others)
    ]


def plain_ratios(held: Observations, observed: list[Observations]) -> np.ndarray:
    """Mean of the other data sets' shares at the same type and mask share: (12,)."""
    others = [one for one in observed if one.dataset != held.dataset]
    return np.mean([(one.ap / one.ap[one.is_full].mean())[~one.is_full] for one in others], axis=0)


def run_pilot(
    held: Observations, observed: list[Observations], pilot: tuple[tuple[str | None, float], ...]
) -> list[Cell]:
    """The cells outside the pilot, predicted with it."""
    keys = list(zip(held.weak.tolist(), held.share.tolist(), strict=True))
    wanted = {(-1 if kind is None else [str(k) for k in WEAK_TYPES].index(kind), share)
              for kind, share in pilot}  # fmt: skip
    inside = [index for index, key in enumerate(keys) if key in wanted]
    outside = [i for i, (kind, _) in enumerate(keys) if kind >= 0 and i not in inside]
    rng = np.random.default_rng(7)
    surface = pilot_surface(
        held.where(np.array(inside)), references(held, observed), held.images, rng, DRAWS
    )
    return predict(surface, held, outside)


def score(cells: list[Cell]) -> dict[str, object]:
    """Mean absolute error as a share of full supervision, and coverage."""
    covered = sum(cell.covered for cell in cells)
    chance = binomtest(covered, len(cells)).proportion_ci(0.95)
    by_dataset = {
        name: float(np.mean([abs(c.predicted - c.recorded) for c in cells if c.dataset == name]))
        for name in dict.fromkeys(cell.dataset for cell in cells)
    }
    return {
        "error": by_dataset,
        "mean_error": float(np.mean([abs(c.predicted - c.recorded) for c in cells])),
        "covered": covered,
        "cells": len(cells),
        "coverage_interval_95": [chance.low, chance.high],
        "mean_interval_width": float(np.mean([c.high - c.low for c in cells])),
    }


def run() -> dict[str, dict[str, object]]:
    """Scores of plain ratios, of --like, and of --like with each pilot."""
    observed = [observe(paper_rows(name)) for name in BUILT_IN]
    scores: dict[str, dict[str, object]] = {}
    plain: dict[str, float] = {}
    cells: list[Cell] = []
    for held in observed:
        weak = np.flatnonzero(~held.is_full)
        recorded = held.ap[weak] / held.ap[held.is_full].mean()
        plain[held.dataset] = float(np.abs(plain_ratios(held, observed) - recorded).mean())
        rng = np.random.default_rng(0)
        surface = transfer(references(held, observed), held.images, rng, DRAWS)
        cells += predict(surface, held, weak.tolist())
    scores["plain ratios"] = {"error": plain, "mean_error": float(np.mean(list(plain.values())))}
    scores["--like"] = score(cells)
    for name, pilot in PILOTS.items():
        found = [cell for held in observed for cell in run_pilot(held, observed, pilot)]
        scores[f"pilot: {name}"] = score(found)
    return scores


def main() -> None:
    """Print the scores."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    scores = run()
    if arguments.json:
        print(json.dumps(scores, indent=2))
        return
    print("mean absolute error, as a share of full supervision\n")
    print(f"{'':27}" + "".join(f"{name:>11}" for name in [*BUILT_IN, "mean"]) + "  80% holds")
    for name, one in scores.items():
        errors = [*one["error"].values(), one["mean_error"]]  # type: ignore[attr-defined]
        line = f"{name:27}" + "".join(f"{error:11.3f}" for error in errors)
        if "covered" in one:
            low, high = one["coverage_interval_95"]  # type: ignore[misc]
            line += f"  {one['covered']} of {one['cells']} ({low:.0%} to {high:.0%})"
        print(line)


if __name__ == "__main__":
    main()
