"""Do plans promise too much for having been chosen?

From the forecast of each data set of Table 2 a world is drawn, its 13 students are run in it with
scatter, and plans are made from their rows. Printed is what plans promise less what the world gives
them, mean and standard error, beside the same for boxes on all images, which nobody chose.

    python -m analysis.planner.promises          # a minute; --json for scripts
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from typing import Final

import numpy as np

from omnicost.annotation import WEAK_TYPES, AnnotationType
from omnicost.cost import BUILT_IN, ORDER, type_seconds
from omnicost.forecast.observations import Observations, observe
from omnicost.forecast.prior import learn_shape
from omnicost.forecast.surface import Surface, fit_surface
from omnicost.plan.optimise import Problem, best_for_budget
from omnicost.results import PUBLISHED, paper_rows

IMAGES: Final = 20_000
WORLDS: Final = 25
DRAWS: Final = 300
SCATTER: Final = {PUBLISHED: 0.4, "another": 1.5}
"""Schedule, and how far its runs scatter in AP."""


def students(world: Surface, rows: Observations, sd: float, rng: np.random.Generator) -> np.ndarray:
    """AP of the rows' policies in a world: (R,)."""
    worth = [
        1.0 if weak < 0 else float(world.at(masks)[world.types.index(WEAK_TYPES[weak])])
        for weak, masks in zip(rows.weak, rows.masks, strict=True)
    ]
    expected = world.scale * (rows.share + (1 - rows.share) * np.array(worth))
    return np.clip(expected + sd * rng.standard_normal(len(expected)), 0.1, 100)


def promises(name: str, schedule: str) -> tuple[list[float], list[float]]:
    """Promise less truth, AP: of plans at five budgets in each world, and of boxes everywhere."""
    rng = np.random.default_rng(1)
    rows = replace(observe(paper_rows(name)), schedule=schedule)
    shape = learn_shape([observe(paper_rows(other)) for other in BUILT_IN if other != name])
    believed = fit_surface(rows, shape, rng, 400, IMAGES)
    seconds = type_seconds(BUILT_IN[name])
    boxes = np.where(np.array(ORDER) == AnnotationType.BOX, IMAGES, 0)
    budgets = IMAGES * np.geomspace(seconds[seconds > 0].min() * 1.1, 0.3 * seconds[-1], 5)
    chosen, unchosen = [], []
    for draw in rng.integers(0, 400, WORLDS):
        full = float(believed.full_draws[draw])
        world = replace(believed, worth=believed.worth_draws[draw], full=full, scale=full)
        seen = replace(rows, ap=students(world, rows, SCATTER[schedule], rng))
        problem = Problem(IMAGES, seconds, fit_surface(seen, shape, rng, DRAWS, IMAGES))
        real = replace(problem, surface=world)

        def over(images: np.ndarray, problem: Problem = problem, real: Problem = real) -> float:
            promised = problem.surface.scale * float(problem.share_of_full(images))
            return promised - real.surface.scale * float(real.share_of_full(images))

        chosen += [over(best_for_budget(problem, budget)) for budget in budgets]
        unchosen.append(over(boxes))
    return chosen, unchosen


def run() -> dict[str, dict[str, float]]:
    """Means and standard errors by data set and schedule."""
    found = {}
    for schedule, sd in SCATTER.items():
        for name in BUILT_IN:
            chosen, unchosen = promises(name, schedule)
            # Plans of one world are no independent evidence.
            by_world = np.array(chosen).reshape(WORLDS, -1).mean(axis=1)
            found[f"{name}, scatter {sd:g} AP"] = {
                "plans": float(by_world.mean()),
                "standard_error": float(by_world.std(ddof=1) / np.sqrt(WORLDS)),
                "boxes_everywhere": float(np.mean(unchosen)),
            }
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = run()
    if arguments.json:
        print(json.dumps(found, indent=2))
        return
    print("AP promised less AP had\n")
    print(f"{'':28} {'plans':>7} {'+-':>5} {'boxes everywhere':>17}")
    for name, one in found.items():
        print(
            f"{name:28} {one['plans']:+7.2f} {one['standard_error']:5.2f} "
            f"{one['boxes_everywhere']:+17.2f}"
        )


if __name__ == "__main__":
    main()
