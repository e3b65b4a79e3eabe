"""What plans lose against hindsight, beside the one-line rule that they have to beat.

Each data set of Table 2 in turn is a project of 20,000 images at 20 budgets, from the cheapest weak
type on all images to half of what masks cost. Its *truth* is its 13 recorded cells, worth read
along log(1 + masks / 30) between them. Between none and 1% of the masks nobody measured: there the
truth is once the line between both cells, once the released teacher's worth until 1% is reached.
The regret of an allocation is AP short of the best allocation under the truth.

Plans from: all cells; two thirds of the cells (six draws); `--like` the other two data sets, as the
optimum and as the plan answers, which keeps the rule unless another plan is clearly better. The
rule: the strongest type that all images can have for the budget, the rest of it on masks.

    python -m analysis.planner.regret          # a minute; --json for scripts
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from typing import Final

import numpy as np

from omnicost.annotation import WEAK_TYPES
from omnicost.cost import BUILT_IN, DatasetStats, type_seconds
from omnicost.forecast.observations import Observations, observe
from omnicost.forecast.surface import Surface
from omnicost.plan import gather
from omnicost.plan.build import CLEARLY
from omnicost.plan.optimise import MASK, Problem, best_for_budget
from omnicost.plan.rule import strongest_affordable
from omnicost.results import Row, paper_rows

IMAGES: Final = 20_000
BUDGETS: Final = 20
DRAWS: Final = 400
HIDDEN: Final = 6


def truth(rows: Observations, flat: bool) -> Surface:
    """The recorded cells, means over seeds, as a surface.

    Args:
        rows: of one data set, some beside all masks.
        flat: keep the released teacher's worth until the fewest masks that were tried.
    """
    cells, tuned = rows.cells, rows.tuned_masks
    full = float(cells.ap[cells.weak < 0].mean())
    knots = [0.0, *([tuned[0] - 1.0] if flat else []), *tuned, 1.01 * tuned[-1]]
    worth = []
    for kind in rows.types:
        own = cells.weak == WEAK_TYPES.index(kind)
        order = np.argsort(cells.masks[own])
        share, ap = cells.share[own][order], cells.ap[own][order]
        curve = np.clip((ap / full - share) / (1 - share), 0, 1)
        worth.append([curve[0], *([curve[0]] if flat else []), *curve[1:], curve[-1]])
    return Surface(
        types=rows.types,
        knots=np.array(knots),
        worth=np.array(worth),
        worth_draws=np.array(worth)[None],
        full=full,
        full_draws=np.array([full]),
        scale=full,
        run_draws=np.zeros(1),
        misfit_draws=np.zeros((1, len(rows.types))),
    )


def budgets(stats: DatasetStats) -> np.ndarray:
    """Seconds, from the cheapest weak type on all images to half of all masks."""
    seconds = type_seconds(stats)
    return stats.images * np.geomspace(
        seconds[seconds > 0].min() * 1.001, 0.5 * seconds[-1], BUDGETS
    )


def hide(rows: list[Row], seed: int) -> list[Row]:
    """Two thirds of the weak cells, and the one on all masks."""
    weak = [row for row in rows if row.mask_share < 1]
    kept = np.random.default_rng(seed).permutation(len(weak))[: 2 * len(weak) // 3]
    return [weak[index] for index in sorted(kept)] + [row for row in rows if row.mask_share == 1]


def surfaces(name: str) -> dict[str, list[Surface]]:
    """What each way of planning believes of a data set."""
    rows = paper_rows(name)
    others = [other for other in BUILT_IN if other != name]

    def believed(**options: object) -> Surface:
        return gather(IMAGES, np.random.default_rng(0), draws=DRAWS, **options).surface  # type: ignore[arg-type]

    return {
        "all cells": [believed(rows=rows)],
        "a third hidden": [believed(rows=hide(rows, seed)) for seed in range(HIDDEN)],
        "--like, optimum": [believed(like=others)],
    }


def regrets(name: str, flat: bool, beliefs: dict[str, list[Surface]]) -> dict[str, float]:
    """Mean AP short of the best over plans and budgets, by way of planning."""
    stats = BUILT_IN[name].with_images(IMAGES)
    real = Problem(IMAGES, type_seconds(stats), truth(observe(paper_rows(name)), flat))
    reached: dict[str, list[float]] = {}
    for budget in budgets(stats):
        rule = strongest_affordable(real, budget)
        chosen = {"the rule": [rule]}
        for way, believed in beliefs.items():
            problems = [replace(real, surface=surface) for surface in believed]
            chosen[way] = [best_for_budget(problem, budget) for problem in problems]
        like = replace(real, surface=beliefs["--like, optimum"][0])
        optimum = chosen["--like, optimum"][0]
        better = float((_shares(like, optimum) > _shares(like, rule)).mean())
        chosen["--like, as answered"] = [optimum if better >= CLEARLY else rule]
        best = float(real.share_of_full(best_for_budget(real, budget)))
        for way, plans in chosen.items():
            lost = [best - float(real.share_of_full(images)) for images in plans]
            reached.setdefault(way, []).append(float(np.mean(lost)))
    return {way: real.surface.scale * float(np.mean(lost)) for way, lost in reached.items()}


def _shares(problem: Problem, images: np.ndarray) -> np.ndarray:
    drawn: np.ndarray = problem.surface.draws_at(float(images[MASK])) @ images[problem.strengths]
    return images[MASK] + drawn


def run() -> dict[str, dict[str, dict[str, float]]]:
    """Mean regret by truth, way of planning and data set."""
    beliefs = {name: surfaces(name) for name in BUILT_IN}
    out: dict[str, dict[str, dict[str, float]]] = {}
    for label, flat in (("line between none and 1%", False), ("released teacher until 1%", True)):
        by_way: dict[str, dict[str, float]] = {}
        for name in BUILT_IN:
            for way, value in regrets(name, flat, beliefs[name]).items():
                by_way.setdefault(way, {})[name] = value
        for one in by_way.values():
            one["mean"] = float(np.mean(list(one.values())))
        out[label] = by_way
    return out


def main() -> None:
    """Print the mean regrets."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = run()
    if arguments.json:
        print(json.dumps(found, indent=2))
        return
    print(f"mean AP short of hindsight over {BUDGETS} budgets")
    for label, by_way in found.items():
        print(f"\n{label:27}" + "".join(f"{name:>11}" for name in [*BUILT_IN, "mean"]))
        for way, one in by_way.items():
            print(f"{way:27}" + "".join(f"{value:11.2f}" for value in one.values()))


if __name__ == "__main__":
    main()
