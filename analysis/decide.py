"""How many students does a plan need? Campaigns on the recorded tables, by the choice of cells.

Each data set of Table 2 is taken as the truth; students score it with a spread of 0.4 or 1 AP. The
ways: all 13 cells; cells in random order; a fixed cheap design (all masks, and points and boxes
with 0 and 10% of masks); decided one at a time (`omnicost.decide`); decided with schedules of a
third of the steps at hand; all cells from a shared trunk of 0.7 of a student (each costs 0.3 more).
What a trunk costs in AP is not simulated here: it is measured on the tiny world.

    python analysis/decide.py                 # about 10 minutes; --repeats 20 for a look
    python analysis/decide.py --json out.json --plot out.png
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from omnicost.cost import dataset_stats, seconds_per_image
from omnicost.decide.belief import prior_belief, weakest
from omnicost.decide.campaign import Campaign, Limits, Students, decided, listed
from omnicost.decide.worth import Worth, plan_worth, spread_budgets
from omnicost.published import PUBLISHED
from omnicost.results import paper_rows

NOISE_SDS = (0.4, 1.0)
SHORT = 1 / 3  # of a student's hours
TRUNK = 0.7
FIXED = {("point", 0.0), ("box", 0.0), ("point", 0.1), ("box", 0.1)}


def campaigns(dataset: str, noise_sd: float, seed: int) -> Iterator[tuple[str, Campaign]]:
    """One campaign of each way; device-hours in units of one student."""
    rows = paper_rows(dataset)
    policies = [row.policy for row in rows]
    seconds = np.array([seconds_per_image(each, dataset_stats(dataset)) for each in policies])
    worth = plan_worth(seconds, spread_budgets(seconds))
    count = len(rows)
    full = Students(np.array([row.ap for row in rows]), noise_sd, np.ones(count))
    belief, rng = prior_belief(policies), np.random.default_rng(seed)

    def fixed(cells: Any, students: Students = full) -> Campaign:
        return listed(belief, worth, students, list(cells), seed)

    design = [
        cell
        for cell, policy in enumerate(policies)
        if not policy.weak_types or (str(weakest(policy)), policy.mask_share) in FIXED
    ]
    yield "all cells", fixed(range(count))
    yield "random half", fixed(rng.permutation(count)[: count // 2])
    yield "fixed design", fixed(design)
    yield "decided", decided(belief, worth, full, Limits(), seed)
    yield "decided, short too", _with_short(policies, worth, full, seed)
    trunk = fixed(range(count), full._replace(hours=np.full(count, 1 - TRUNK)))
    yield "all cells, trunk", trunk._replace(device_hours=trunk.device_hours + TRUNK)
    both = decided(belief, worth, full._replace(hours=np.full(count, 1 - TRUNK)), Limits(), seed)
    yield "decided, trunk", both._replace(device_hours=both.device_hours + TRUNK)


def _with_short(policies: Any, worth: Worth, full: Students, seed: int) -> Campaign:
    hours = np.concatenate([full.hours, full.hours * SHORT])
    return decided(prior_belief(policies, 1), worth, full._replace(hours=hours), Limits(), seed)


def summarise(repeats: int) -> list[dict[str, Any]]:
    """Mean and 90th percentile of every way, data set and noise."""
    table = []
    for dataset in PUBLISHED:
        for noise_sd in NOISE_SDS:
            ways: dict[str, list[Campaign]] = {}
            for seed in range(repeats):
                for way, campaign in campaigns(dataset, noise_sd, seed):
                    ways.setdefault(way, []).append(campaign)
            table += [_line(dataset, noise_sd, way, ends) for way, ends in ways.items()]
    return table


def _line(dataset: str, noise_sd: float, way: str, ends: list[Campaign]) -> dict[str, Any]:
    values = np.array(ends)
    means = dict(zip(Campaign._fields, values.mean(0).round(3).tolist(), strict=True))
    p90 = float(np.quantile(values[:, Campaign._fields.index("true_regret")], 0.9))
    return {
        "dataset": dataset,
        "noise_sd": noise_sd,
        "way": way,
        **means,
        "regret_p90": round(p90, 3),
    }


def draw(table: list[dict[str, Any]], path: Path) -> None:
    """True regret against device-hours, a panel for each noise."""
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, len(NOISE_SDS), figsize=(10, 4), sharey=True)
    ways = list(dict.fromkeys(line["way"] for line in table))
    for panel, noise_sd in zip(panels, NOISE_SDS, strict=True):
        for number, way in enumerate(ways):
            own = [x for x in table if x["way"] == way and x["noise_sd"] == noise_sd]
            hours = [line["device_hours"] for line in own]
            panel.scatter(
                hours, [line["true_regret"] for line in own], label=way, color=f"C{number}"
            )
        panel.set(
            title=f"spread of a student {noise_sd:g} AP", xlabel="hours of students (one full = 1)"
        )
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("true regret, AP over 20 budgets")
    panels[0].set_ylim(bottom=0)
    panels[-1].legend(frameon=False, fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=150)


def main() -> None:
    """Print the table; write it where asked."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    table = summarise(options.repeats)
    heads = ("dataset", "noise_sd", "way", *Campaign._fields, "regret_p90")
    print("\t".join(heads))
    for line in table:
        print("\t".join(str(line[head]) for head in heads))
    if options.json:
        options.json.write_text(json.dumps({"repeats": options.repeats, "rows": table}, indent=1))
    if options.plot:
        draw(table, options.plot)


if __name__ == "__main__":
    main()
