"""How many students does a plan need? Campaigns on real students of the tiny worlds.

The ways are those of `analysis.decide`, each score that of a recorded student: of the full
schedule, of a third of its steps (card tiny-short) or after a trunk (card tiny-trunk; of those the
best is drawn). The truth is every cell's mean over the seeds of the full schedule, the campaign's
own students among them, so that a way with many seeds is judged a little too well. Students of a
cell are met in the order of their seeds, from each seed on; the random half is drawn 20 times.

    python -m analysis.decide_rows                                # rows of results/tiny, a minute
    python -m analysis.decide_rows --json out.json --plot out.png
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from analysis.decide import (
    FIFTH,
    SHORT,
    TRUNK_CARD,
    TRUNKED,
    alike_prices,
    draw,
    is_cheap,
    means_of,
    show,
)
from analysis.recorded import RESULTS, TINY_SETS
from omnicost.annotation import Policy
from omnicost.decide.campaign import Campaign, Limits
from omnicost.decide.choose import next_students
from omnicost.decide.front import Front, Score
from omnicost.decide.prices import PricedStudent
from omnicost.decide.worth import plan_worth, spread_budgets
from omnicost.results import Row, read_rows

SHORT_CARD: Final = "tiny-short"
HALVES: Final = 20

Students = Mapping[PricedStudent, float]


@dataclass(frozen=True)
class World:
    """One data set's recorded students, in percent of AP, and what its cells are worth."""

    front: Front
    truth: np.ndarray
    full: Students
    short: Students
    trunks: Mapping[str, Students]

    @property
    def cells(self) -> int:
        """How many there are."""
        return len(self.truth)

    def way(
        self,
        students: Students,
        hours: np.ndarray,
        shorter: tuple[float, ...] = (),
        trunk_hours: float = 0.0,
    ) -> Front:
        """The front as it is sought with these students, at these hours of each coordinate."""
        prices = alike_prices(hours, _seeds(students), trunk_hours)
        return replace(self.front, prices=prices, shorter=shorter, seeds=_seeds(students))


def _seeds(students: Students) -> int:
    return 1 + max((student.seed for student in students), default=-1)


def read_world(folder: Path, dataset: str) -> World:
    """A data set's students in the files of the cards."""
    rows = read_rows(folder / f"{dataset}.jsonl")
    policies = tuple(dict.fromkeys(row.policy for row in rows))
    seconds = np.array([_first(rows, policy).seconds_per_image for policy in policies])
    truth = np.array([np.mean([row.ap for row in rows if row.policy == p]) for p in policies])
    trunked = _others(folder, TRUNK_CARD, dataset)
    front = Front(
        name=dataset,
        schedule=rows[0].schedule,
        policies=policies,
        worth=plan_worth(seconds, spread_budgets(seconds)),
        prices=alike_prices(np.ones(len(policies)), 1),
    )
    return World(
        front,
        truth,
        full=_students(policies, rows),
        short=_students(policies, _others(folder, SHORT_CARD, dataset), first=len(policies)),
        trunks={
            variant: _students(policies, [row for row in trunked if row.variant == variant])
            for variant in sorted({row.variant for row in trunked if row.trunk})
        },
    )


def _first(rows: Sequence[Row], policy: Policy) -> Row:
    return next(row for row in rows if row.policy == policy)


def _others(folder: Path, card: str, dataset: str) -> list[Row]:
    """Rows of another card on the data set; none where it was not run."""
    path = folder / f"{card}.jsonl"
    return [row for row in read_rows(path) if row.dataset == dataset] if path.exists() else []


def _students(policies: Sequence[Policy], rows: Sequence[Row], first: int = 0) -> Students:
    seeds = sorted({row.seed for row in rows})
    places = [PricedStudent(first + policies.index(r.policy), seeds.index(r.seed)) for r in rows]
    return {place: row.ap for place, row in zip(places, rows, strict=True)}


def campaigns(world: World, regret: float) -> Iterator[tuple[str, Campaign]]:
    """Campaigns of every way whose students are recorded; device-hours in full students."""
    limits = Limits(regret=regret)
    ones = np.ones(world.cells)
    for start in range(_seeds(world.full)):
        full = _from_seed(world.full, start)
        front = world.way(full, ones)
        first = [student for student in full if student.seed == 0]
        yield "all cells", _listed(world, front, full, first)
        for seed in range(HALVES):
            drawn = np.random.default_rng([start, seed]).permutation(world.cells)
            half = [PricedStudent(int(cell), 0) for cell in drawn[: world.cells // 2]]
            yield "random half", _listed(world, front, full, half)
        cheap = [each for each in first if is_cheap(front.policies[each.coordinate])]
        yield "fixed design", _listed(world, front, full, cheap)
        yield "decided", _decided(world, front, full, limits)
        if world.short:
            both = {**full, **_from_seed(world.short, start)}
            front = world.way(both, np.append(ones, SHORT * ones), (SHORT,))
            yield "decided, short too", _decided(world, front, both, limits)
    for variant, students in world.trunks.items():
        share = float(variant.rpartition("-")[2])
        for start in range(_seeds(students)):
            trunk = _from_seed(students, start)
            front = world.way(trunk, (1 - share) * ones, trunk_hours=share)
            first = [student for student in trunk if student.seed == 0]
            yield f"all cells, trunk {variant}", _listed(world, front, trunk, first)
            yield f"decided, trunk {variant}", _decided(world, front, trunk, limits)
            fifth = replace(limits, device_hours=FIFTH * world.cells)
            yield f"decided, trunk {variant}, a fifth", _decided(world, front, trunk, fifth)


def _from_seed(students: Students, start: int) -> Students:
    """The same students, their seeds counted from another one."""
    return {s._replace(seed=(s.seed - start) % _seeds(students)): ap for s, ap in students.items()}


def _listed(
    world: World, front: Front, students: Students, chosen: Sequence[PricedStudent]
) -> Campaign:
    """A campaign that trains a list of students, whatever comes out."""
    return _ended(world, front, [Score(student, students[student]) for student in chosen])


def _decided(world: World, front: Front, students: Students, limits: Limits) -> Campaign:
    """Students one at a time, as a sweep with `--decide` picks them on one device."""
    scores: list[Score] = []
    while not scores or front.regret(scores) >= limits.regret:
        belief, spread = front.believe(scores)
        taken = [score.student for score in scores]
        left = limits.device_hours - _hours(front, scores)
        offers = front.prices.offers(taken, front.prices.needed(taken))
        offers = [each for each in offers if each.student in students]
        offers = [each for each in offers if each.hours <= left]
        picked = next_students(belief, front.worth, spread.own_sd, offers, 1)
        if not picked:
            break
        student = picked[0].offer.student
        scores.append(Score(student, students[student]))
    return _ended(world, front, scores)


def _hours(front: Front, scores: Sequence[Score]) -> float:
    return float(
        sum(
            front.prices.hours[key]
            for key in front.prices.needed(score.student for score in scores)
        )
    )


def _ended(world: World, front: Front, scores: Sequence[Score]) -> Campaign:
    believed = front.believe(scores)[0].expected_ap
    return Campaign(
        students=len(scores),
        device_hours=_hours(front, scores),
        expected_regret=front.regret(scores),
        true_regret=float(front.worth.regret(believed, world.truth).mean()),
        front_error=float(np.abs(believed - world.truth).mean()),
    )


def summarise(folder: Path, regret: float) -> list[dict[str, Any]]:
    """Mean and 90th percentile of every way on every data set that was swept."""
    table = []
    for dataset in TINY_SETS:
        if not (folder / f"{dataset}.jsonl").exists():
            continue
        ways: dict[str, list[Campaign]] = {}
        for way, campaign in campaigns(read_world(folder, dataset), regret):
            ways.setdefault(way, []).append(campaign)
        table += [{"dataset": dataset, **means_of(way, ends)} for way, ends in ways.items()]
    return table


def main() -> None:
    """Print the table; write it where asked."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=Path, default=RESULTS / "tiny", help="of the cards")
    parser.add_argument("--regret", type=float, default=0.15, help="expected, in AP, to stop at")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    table = summarise(options.rows, options.regret)
    show(table)
    if options.json:
        options.json.write_text(json.dumps({"regret": options.regret, "rows": table}, indent=1))
    if options.plot:
        cells = max(int(line["students"]) for line in table if line["way"] == "all cells")
        shown = [each for each in table if "trunk" not in each["way"] or TRUNKED in each["way"]]
        draw({"students of the tiny worlds": shown}, cells, options.plot)


if __name__ == "__main__":
    main()
