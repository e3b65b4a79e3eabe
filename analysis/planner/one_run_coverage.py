"""From one run a cell, is the noise model too sure? Coverage on recorded runs and simulated ones.

`leave_one_cell_out` predicts the runs of other seeds from those of one seed. Three seeds that share
an effect are next to three tests, so coverage far from nominal may be chance. Here the same is done
in worlds whose cells have the recorded means, and whose runs scatter as the model believes before
it has seen any: normal, by standard deviations of a run's own and of what a seed has in common that
are drawn from its prior. If the model keeps its word, coverage over such worlds is nominal on
average, and the recorded coverage is not far out among them.

    python -m analysis.planner.one_run_coverage          # minutes; --worlds 20 for a look
    python -m analysis.planner.one_run_coverage results/tiny/version-1/demo.jsonl
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from analysis.planner.leave_one_cell_out import LEVELS, TINY
from omnicost.cost import BUILT_IN
from omnicost.forecast.model import forecast
from omnicost.forecast.observations import Observations, observe
from omnicost.forecast.prior import Shape, learn_shape
from omnicost.forecast.spread import medians
from omnicost.results import paper_rows, read_rows

DRAWS: Final = 1000
_LEAST_AP: Final = 0.1


def coverage(runs: Observations, shape: Shape) -> np.ndarray:
    """Share of the runs of other seeds inside intervals from each seed's runs: (levels,)."""
    held_in: list[np.ndarray] = []
    for seed in np.unique(runs.seed):
        kept, held = runs.where(runs.seed == seed), runs.where(runs.seed != seed)
        low, high = _intervals(kept, held, shape)
        held_in.append((low <= held.ap) & (held.ap <= high))
    shares: np.ndarray = np.concatenate(held_in, axis=1).mean(axis=1)
    return shares


def _intervals(kept: Observations, held: Observations, shape: Shape) -> np.ndarray:
    """Bounds of each held run: (2, levels, R)."""
    weak = np.maximum(held.weak, 0)
    drawn = forecast(kept, shape, weak, held.masks, np.random.default_rng(0), DRAWS)
    lacks = np.where(held.is_full, 0.0, 1 - held.share)
    student = drawn.full[:, None] - lacks * (drawn.lacking + drawn.misfit[:, weak])
    tails = np.array([[(1 - one) / 2 for one in LEVELS], [(1 + one) / 2 for one in LEVELS]])
    bounds: np.ndarray = np.quantile(student + drawn.run[:, None], tails, axis=0)
    return bounds


def simulated(runs: Observations, rng: np.random.Generator) -> Observations:
    """The same cells and seeds in a world that the noise model believes in beforehand."""
    alone, common, log_sd = medians(runs.schedule)
    alone, common = np.array([alone, common]) * np.exp(log_sd * rng.standard_normal(2))
    _, seed = np.unique(runs.seed, return_inverse=True)
    shared = rng.standard_normal(seed.max() + 1)[seed]
    own = rng.standard_normal(len(seed))
    ap = runs.cells.ap[runs.cell] + common * shared + alone * own
    return replace(runs, ap=np.clip(ap, _LEAST_AP, 100.0))


def main() -> None:
    """Print recorded and simulated coverage."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="?", type=Path, default=TINY[0])
    parser.add_argument("--worlds", type=int, default=100)
    arguments = parser.parse_args()
    shape = learn_shape([observe(paper_rows(name)) for name in BUILT_IN])
    runs = observe(read_rows(arguments.rows))
    recorded = coverage(runs, shape)
    rng = np.random.default_rng(0)
    worlds = np.stack([coverage(simulated(runs, rng), shape) for _ in range(arguments.worlds)])
    error = worlds.std(axis=0, ddof=1) / np.sqrt(len(worlds))
    print(f"{arguments.rows.name}, {len(np.unique(runs.seed))} seeds; {len(worlds)} worlds")
    for place, level in enumerate(LEVELS):
        lower = (worlds[:, place] <= recorded[place]).mean()
        print(
            f"  {level:.0%} intervals hold {recorded[place]:.0%}; in worlds "
            f"{worlds[:, place].mean():.0%} +- {error[place]:.0%}, so low or lower in {lower:.0%}"
        )


if __name__ == "__main__":
    main()
