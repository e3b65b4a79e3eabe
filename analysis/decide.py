"""How many students does a plan need? Campaigns on the recorded tables, by the choice of cells.

Each data set of Table 2 is taken as the truth; students score it with a spread of 0.4 or 1 AP. The
ways: all 13 cells; half of them at random; a fixed cheap design (all masks, and points and boxes
with 0 and 10% of masks); decided one at a time (`omnicost.decide`); decided with schedules of a
third of the steps at hand; all cells from a shared trunk of 0.7 of a student (each costs 0.3
more); decided from a trunk, and the same with a fifth of the hours of all cells. A trunk's
students are off by what those of the card tiny-trunk were: a plan does not know.

    python -m analysis.decide                 # 10 minutes of a core; --repeats 20 for a look
    python -m analysis.decide --json out.json --plot out.png
"""

from __future__ import annotations

import argparse
import json
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from analysis.recorded import RESULTS
from analysis.variants import BASES, pairs
from omnicost.annotation import Policy
from omnicost.cost import dataset_stats, seconds_per_image
from omnicost.decide.belief import Belief, prior_belief, weakest
from omnicost.decide.campaign import Campaign, Limits, Scores, TrueScores, decided, ended
from omnicost.decide.prices import PricedStudent, Prices
from omnicost.decide.worth import Worth, plan_worth, spread_budgets
from omnicost.published import PUBLISHED
from omnicost.results import paper_rows, read_rows

NOISE_SDS: Final = (0.4, 1.0)
SHORT: Final = 1 / 3  # of a student's hours
TRUNK: Final = 0.7
FIFTH: Final = 0.2  # of the hours of all cells
SEEDS: Final = 3  # most students of a cell
FIXED: Final = {("point", 0.0), ("box", 0.0), ("point", 0.1), ("box", 0.1)}
TRUNK_CARD: Final = "tiny-trunk"
# Of the card's five trunks the one that moves the front least (LOG.md, 2026-11-26).
TRUNKED: Final = "masks-0.7"


def trunk_bias() -> dict[Policy, float]:
    """By how much log AP is off after a trunk: mean over tiny data sets and seeds."""
    rows = read_rows(RESULTS / "tiny" / f"{TRUNK_CARD}.jsonl")
    off: dict[Policy, list[float]] = defaultdict(list)
    for pair in pairs(rows, BASES[TRUNK_CARD], TRUNKED):
        off[pair.policy].append(float(np.log1p(pair.ap / pair.base_ap)))
    return {policy: float(np.mean(each)) for policy, each in off.items()}


def alike_prices(hours: np.ndarray, seeds: int, trunk_hours: float = 0.0) -> Prices:
    """Of students that share nothing but a trunk of their seed.

    Args:
        hours: ``(N * (1 + F),)`` of each cell and schedule.
    """
    students = [PricedStudent(n, seed) for seed in range(seeds) for n in range(len(hours))]
    trunks = {f"trunk {seed}": trunk_hours for seed in range(seeds)}
    own = {f"student {s.coordinate} {s.seed}": float(hours[s.coordinate]) for s in students}
    stages = {
        s: frozenset({f"student {s.coordinate} {s.seed}", f"trunk {s.seed}"}) for s in students
    }
    return Prices(stages, {**own, **trunks})


def listed(
    belief: Belief,
    worth: Worth,
    truth: TrueScores,
    prices: Prices,
    students: Sequence[PricedStudent],
    seed: int,
) -> Campaign:
    """A campaign that trains a list of students, whatever comes out."""
    rng = np.random.default_rng(seed)
    scores = Scores(truth, belief.seeds, rng)
    for student in students:
        score = scores.of(student)
        belief = belief.after(student.coordinate, score, truth.noise_sd, student.seed)
    hours = math.fsum(prices.hours[key] for key in prices.needed(students))
    return ended(belief, worth, truth, len(students), hours, rng)


def campaigns(
    dataset: str, noise_sd: float, seed: int, bias: Mapping[Policy, float]
) -> Iterator[tuple[str, Campaign]]:
    """One campaign of each way; device-hours in units of one student.

    Args:
        bias: of each cell's log AP after a trunk.
    """
    rows = paper_rows(dataset)
    policies = [row.policy for row in rows]
    seconds = np.array([seconds_per_image(each, dataset_stats(dataset)) for each in policies])
    worth = plan_worth(seconds, spread_budgets(seconds))
    count, no_luck = len(rows), (0.0,) * SEEDS
    truth = TrueScores(np.array([row.ap for row in rows]), noise_sd)
    trunked = truth._replace(bias=np.array([bias[policy] for policy in policies]))
    belief, shorter = prior_belief(policies, (), no_luck), prior_belief(policies, [SHORT], no_luck)
    own = alike_prices(np.ones(count), SEEDS)
    short = alike_prices(np.append(np.ones(count), np.full(count, SHORT)), SEEDS)
    trunk = alike_prices(np.full(count, 1 - TRUNK), SEEDS, TRUNK)
    every = [PricedStudent(cell, 0) for cell in range(count)]
    half = np.random.default_rng(seed).permutation(count)[: count // 2].tolist()
    design = [cell for cell, policy in zip(every, policies, strict=True) if is_cheap(policy)]
    fifth = Limits(device_hours=FIFTH * count)

    yield "all cells", listed(belief, worth, truth, own, every, seed)
    yield "random half", listed(belief, worth, truth, own, [every[n] for n in half], seed)
    yield "fixed design", listed(belief, worth, truth, own, design, seed)
    yield "decided", decided(belief, worth, truth, own, Limits(), seed)
    with_short = truth._replace(shorter=1)
    yield "decided, short too", decided(shorter, worth, with_short, short, Limits(), seed)
    yield "all cells, trunk", listed(belief, worth, trunked, trunk, every, seed)
    yield "decided, trunk", decided(belief, worth, trunked, trunk, Limits(), seed)
    yield "decided, trunk, a fifth", decided(belief, worth, trunked, trunk, fifth, seed)


def is_cheap(policy: Policy) -> bool:
    """Whether a cell belongs to the fixed cheap design."""
    return not policy.weak_types or (str(weakest(policy)), policy.mask_share) in FIXED


def summarise(repeats: int) -> list[dict[str, Any]]:
    """Mean and 90th percentile of every way, data set and noise."""
    table, bias = [], trunk_bias()
    for dataset in PUBLISHED:
        for noise_sd in NOISE_SDS:
            ways: dict[str, list[Campaign]] = {}
            for seed in range(repeats):
                for way, campaign in campaigns(dataset, noise_sd, seed, bias):
                    ways.setdefault(way, []).append(campaign)
            told = {"dataset": dataset, "noise_sd": noise_sd}
            table += [{**told, **means_of(way, ends)} for way, ends in ways.items()]
    return table


def means_of(way: str, ends: Sequence[Campaign]) -> dict[str, Any]:
    """Means of campaigns that went one way, and the 90th percentile of their true regret."""
    values = np.array(ends)
    means = dict(zip(Campaign._fields, values.mean(0).round(3).tolist(), strict=True))
    p90 = float(np.quantile(values[:, Campaign._fields.index("true_regret")], 0.9))
    return {"way": way, **means, "regret_p90": round(p90, 3)}


def draw(tables: Mapping[str, Sequence[Mapping[str, Any]]], cells: int, path: Path) -> None:
    """True regret against device-hours: a panel for each title, a mark for each data set.

    Args:
        cells: as many as have a student each where all are trained; a line stands there.
    """
    import matplotlib.pyplot as plt

    width = 1.5 + 4.75 * len(tables)
    figure, axes = plt.subplots(
        1, len(tables), figsize=(width, 4.4), sharey=True, squeeze=False, layout="constrained"
    )
    panels = list(axes[0])
    lines = [line for table in tables.values() for line in table]
    ways = list(dict.fromkeys(line["way"] for line in lines))
    marks = dict(zip(dict.fromkeys(line["dataset"] for line in lines), "osD", strict=False))
    for panel, (title, table) in zip(panels, tables.items(), strict=True):
        for line in table:
            place = line["device_hours"], line["true_regret"]
            panel.plot(*place, marks[line["dataset"]], color=f"C{ways.index(line['way'])}")
        panel.set(title=title, xlabel="device-hours, in full students")
        panel.axvline(cells, color="0.8", linewidth=0.8, zorder=0)
        panel.spines[["top", "right"]].set_visible(False)
        panel.set_xlim(left=0)
    panels[0].set_ylabel("AP lost by plans (mean over 20 budgets)")
    panels[0].set_ylim(bottom=0)
    named = [(way, "s", f"C{number}") for number, way in enumerate(ways)]
    for name, mark, colour in [*named, *((name, mark, "0.4") for name, mark in marks.items())]:
        panels[-1].plot([], [], mark, color=colour, label=name)
    panels[-1].legend(frameon=False, fontsize=8, bbox_to_anchor=(1, 1), loc="upper left")
    figure.savefig(path, dpi=150)
    plt.close(figure)


def show(table: Sequence[Mapping[str, Any]]) -> None:
    """Print a table, tabs between its columns."""
    print("\t".join(table[0]))
    for line in table:
        print("\t".join(map(str, line.values())))


def main() -> None:
    """Print the table; write it where asked."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    table = summarise(options.repeats)
    show(table)
    if options.json:
        options.json.write_text(json.dumps({"repeats": options.repeats, "rows": table}, indent=1))
    if options.plot:
        panels = {
            f"spread of a student {noise_sd:g} AP": [
                line for line in table if line["noise_sd"] == noise_sd
            ]
            for noise_sd in NOISE_SDS
        }
        draw(panels, len(paper_rows("coco")), options.plot)


if __name__ == "__main__":
    main()
