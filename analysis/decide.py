"""How many students does a plan need? Campaigns on the recorded tables, by the choice of cells.

Each data set of Table 2 is taken as the truth; students score it with a spread of 0.4 or 1 AP. The
ways: all 13 cells; half of them at random; a fixed cheap design (all masks, and points and boxes
with 0 and 10% of masks); decided one at a time (`omnicost.decide`); decided with schedules of a
third of the steps at hand; all cells from a shared trunk of 0.7 of a student (each costs 0.3
more); decided from a trunk, and the same with a fifth of the hours of all cells. A trunk's
students are off by what two seeds of the tiny world were (`TRUNK_TRIAL`): a plan does not know.

    python analysis/decide.py                 # about 10 minutes; --repeats 20 for a look
    python analysis/decide.py --json out.json --plot out.png
    python analysis/decide.py --rows results/tiny/demo.jsonl --regret 0.3   # on students of a sweep
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from omnicost.annotation import Policy
from omnicost.cost import dataset_stats, seconds_per_image
from omnicost.decide.belief import prior_belief, weakest
from omnicost.decide.campaign import Campaign, Limits, TrueScores, decided, listed
from omnicost.decide.choose import next_students
from omnicost.decide.front import Front, Score
from omnicost.decide.prices import PricedStudent, Prices
from omnicost.decide.worth import plan_worth, spread_budgets
from omnicost.published import PUBLISHED
from omnicost.results import paper_rows, read_rows

NOISE_SDS: Final = (0.4, 1.0)
SHORT: Final = 1 / 3  # of a student's hours
TRUNK: Final = 0.7
FIFTH: Final = 0.2  # of the hours of all cells
SEEDS: Final = 3  # most students of a cell
FIXED: Final = {("point", 0.0), ("box", 0.0), ("point", 0.1), ("box", 0.1)}
# AP with and without a trunk on no labels: tiny world, 315 of 450 steps, two seeds (LOG.md).
TRUNK_TRIAL: Final = {
    ("none", 0.0): (27.4, 26.9),
    ("class", 0.0): (27.0, 27.0),
    ("point", 0.0): (27.3, 27.6),
    ("box", 0.0): (29.8, 30.0),
    ("point", 0.1): (28.6, 28.8),
    ("box", 0.1): (29.6, 31.1),
    ("mask", 1.0): (31.0, 31.5),
}


def trunk_bias(policy: Policy) -> float:
    """By how much log AP is off after a trunk: as tried, or as the nearest that was tried."""
    kind, share = str(weakest(policy)), policy.mask_share
    tried = {cell: float(np.log(ap / own)) for cell, (ap, own) in TRUNK_TRIAL.items()}
    with_masks = np.mean([tried["point", 0.1], tried["box", 0.1]])
    few = tried.get((kind, 0.0), 0.0)
    tenth = tried.get((kind, 0.1), with_masks)
    return float(tried.get((kind, share), tenth if share == 0.1 else (few + tenth) / 2))


def campaigns(dataset: str, noise_sd: float, seed: int) -> Iterator[tuple[str, Campaign]]:
    """One campaign of each way; device-hours in units of one student."""
    rows = paper_rows(dataset)
    policies = [row.policy for row in rows]
    seconds = np.array([seconds_per_image(each, dataset_stats(dataset)) for each in policies])
    worth = plan_worth(seconds, spread_budgets(seconds))
    count, no_luck = len(rows), (0.0,) * SEEDS
    truth = TrueScores(np.array([row.ap for row in rows]), noise_sd)
    trunked = truth._replace(bias=np.array([trunk_bias(policy) for policy in policies]))
    belief, shorter = prior_belief(policies, (), no_luck), prior_belief(policies, [SHORT], no_luck)
    own = Prices.alike(np.ones(count), SEEDS)
    short = Prices.alike(np.append(np.ones(count), np.full(count, SHORT)), SEEDS)
    trunk = Prices.alike(np.full(count, 1 - TRUNK), SEEDS, TRUNK)
    every = [PricedStudent(cell, 0) for cell in range(count)]
    half = np.random.default_rng(seed).permutation(count)[: count // 2].tolist()
    design = [cell for cell, policy in zip(every, policies, strict=True) if _is_cheap(policy)]
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


def _is_cheap(policy: Policy) -> bool:
    return not policy.weak_types or (str(weakest(policy)), policy.mask_share) in FIXED


def replay(path: Path, regret: float) -> Iterator[str]:
    """Deciding on the rows of a sweep with several seeds: a line a student, then what it lost.

    The truth is every cell's mean over the seeds; students of a cell are met in their order.
    """
    rows = read_rows(path)
    policies = list(dict.fromkeys(row.policy for row in rows))
    seeds = sorted({row.seed for row in rows})
    students = {PricedStudent(policies.index(r.policy), seeds.index(r.seed)): r for r in rows}
    seconds = np.array(
        [students[PricedStudent(cell, 0)].seconds_per_image for cell in range(len(policies))]
    )
    front = Front(
        name=rows[0].dataset,
        schedule=rows[0].schedule,
        policies=tuple(policies),
        worth=plan_worth(seconds, spread_budgets(seconds)),
        prices=Prices.alike(np.ones(len(policies)), len(seeds)),
        seeds=len(seeds),
    )
    scores: list[Score] = []
    while not scores or front.regret(scores) >= regret:
        belief, spread = front.believe(scores)
        offers = front.offers([score.student for score in scores], frozenset())
        chosen = next_students(belief, front.worth, spread.own_sd, offers, 1)
        if not chosen:
            break
        student = PricedStudent(*chosen[0].offer[:2])
        scores.append(Score(student, students[student].ap))
        told = f"{policies[student.coordinate]} seed {seeds[student.seed]}: {scores[-1].ap:.1f}"
        yield f"{len(scores)}\t{told}\texpected regret {front.regret(scores):.2f}"
    believed = front.believe(scores)[0].expected_ap
    true = np.array([np.mean([r.ap for r in rows if r.policy == each]) for each in policies])
    lost = front.worth.regret(believed, true).mean()
    yield f"{len(scores)} of {len(rows)} students; plans lose {lost:.2f} AP"


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
    """True regret against device-hours: a panel for each noise, a mark for each data set."""
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, len(NOISE_SDS), figsize=(11, 4.4), sharey=True)
    ways = list(dict.fromkeys(line["way"] for line in table))
    for panel, noise_sd in zip(panels, NOISE_SDS, strict=True):
        for line in table:
            if line["noise_sd"] == noise_sd:
                mark = "osD"[list(PUBLISHED).index(line["dataset"])]
                colour = f"C{ways.index(line['way'])}"
                panel.plot(line["device_hours"], line["true_regret"], mark, color=colour)
        panel.set(
            title=f"spread of a student {noise_sd:g} AP",
            xlabel="device-hours, in full students",
        )
        panel.axvline(13, color="0.8", linewidth=0.8, zorder=0)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("AP lost by plans (mean over 20 budgets)")
    panels[0].set_ylim(bottom=0)
    for panel in panels:
        panel.set_xlim(left=0)
    named = [(way, "s", f"C{number}") for number, way in enumerate(ways)]
    named += [(name, mark, "0.4") for name, mark in zip(PUBLISHED, "osD", strict=True)]
    for name, mark, colour in named:
        panels[-1].plot([], [], mark, color=colour, label=name)
    panels[-1].legend(frameon=False, fontsize=8, bbox_to_anchor=(1, 1), loc="upper left")
    figure.tight_layout()
    figure.savefig(path, dpi=150)


def main() -> None:
    """Print the table; write it where asked."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--rows", type=Path, help="of a sweep, whose students are met in turn")
    parser.add_argument("--regret", type=float, default=0.15)
    options = parser.parse_args()
    if options.rows:
        print(*replay(options.rows, options.regret), sep="\n")
        return
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
