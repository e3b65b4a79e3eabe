"""Deciding which of a card's students to train next, from what the store holds."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from typing import Final, NamedTuple

import numpy as np

from omnicost.annotation import Policy
from omnicost.cost import SECONDS_PER_HOUR
from omnicost.decide.campaign import Limits, TrueScores, decided
from omnicost.decide.choose import next_students
from omnicost.decide.front import CellForecast, Score
from omnicost.decide.prices import PricedStudent
from omnicost.engine.graph import Graph
from omnicost.engine.store import Store
from omnicost.pipeline.student.score_files import SCORES, read_scores, scores_in, step_of
from omnicost.sweep.candidates import Side, sides
from omnicost.sweep.cards.card import Cell, Decide, recipe_of
from omnicost.sweep.estimate import StageTimings
from omnicost.sweep.progress import duration
from omnicost.sweep.rows import read_metrics
from omnicost.sweep.sources import Sources
from omnicost.sweep.stages.cell_stages import CellPlan

SIMULATIONS: Final = 40


class CellReport(NamedTuple):
    """What is known of one cell, and why its students were run or not.

    Args:
        front: data set, and recipe where there are several.
        ap: mean of the measured students; None where the cell is forecast.
        runs: students on the full schedule.
    """

    front: str
    policy: Policy
    seconds_per_image: float
    ap: float | None
    runs: int
    forecast: CellForecast
    why: str


class Decision(NamedTuple):
    """How deciding ended.

    Args:
        regret: AP that plans are expected to lose, by front.
        device_hours: of the card's students in the store, with all that they read.
        why: one line.
    """

    regret: dict[str, float]
    device_hours: float
    why: str
    cells: tuple[CellReport, ...]


class Expected(NamedTuple):
    """Device-hours and students that deciding is expected to take yet: median, and 9 in 10."""

    hours: tuple[float, float]
    students: tuple[float, float]
    simulations: int


class Proposal(NamedTuple):
    """A student that could start.

    Args:
        rate: what it is worth an hour, against others of its kind.
    """

    target: str
    hours: float
    rate: float
    why: str


class Decider:
    """Chooses students by what their scores are expected to add to plans, per device-hour.

    Everything it knows comes from the store, so that it goes on after any interruption.

    Args:
        store: None where there is none yet.
        tell: called with a line on each choice.
    """

    def __init__(
        self,
        graph: Graph[Cell],
        told: Decide,
        sources: Sources,
        store: Store | None,
        tell: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._told = told
        self._store = store
        self._tell = tell
        self._sides = sides(graph, told, sources, StageTimings.of_store(store))
        self._plans = {plan.target.id: plan for plan in graph.plans}
        self._places = {
            plan.target.id: (side, student)
            for side in self._sides
            for student, plan in side.plans.items()
        }
        self._reasons: dict[str, str] = {}  # target -> why it was chosen
        self._why = ""

    def is_enough(self, left: Collection[str]) -> bool:
        """Whether none of the students left is worth its hours."""
        return not self._next(left, (), 1)

    def choose(self, left: Collection[str], under_way: Collection[str], count: int) -> list[str]:
        """Up to `count` students to start now, beside those under way."""
        chosen = self._next(left, under_way, count)
        for target, reason in chosen.items():
            self._reasons[target] = reason
            self._tell(f"decided: {target}: {reason}")
        return list(chosen)

    def _next(
        self, left: Collection[str], under_way: Collection[str], count: int
    ) -> dict[str, str]:
        """Targets and why: what was begun, else the best, as far as the device-hours last."""
        wanting = [side for side in self._sides if self._is_wanting(side)]
        if not wanting:
            self._why = f"expected regret is under {self._told.regret:g} AP"
            return {}
        going = frozenset(s.key for target in under_way for s in self._plans[target].stages)
        hours_left = (self._told.device_hours or np.inf) - self.device_hours(going)
        proposed = self._begun(left, going) or [
            each
            for side in wanting
            for each in self._rated(side, left, under_way, going, hours_left, count)
        ]
        chosen: dict[str, str] = {}
        for proposal in sorted(proposed, key=lambda each: -each.rate):
            if len(chosen) < count and proposal.hours <= hours_left:
                chosen[proposal.target] = proposal.why
                hours_left -= proposal.hours
        return chosen

    def _is_wanting(self, side: Side) -> bool:
        """Whether plans of the front may lose more than allowed; they need a student at least."""
        scores = self.scores(side)
        is_started = any(side.front.is_full(score.student) for score in scores)
        return not is_started or side.front.regret(scores) >= self._told.regret

    def _begun(self, left: Collection[str], going: frozenset[str]) -> list[Proposal]:
        """Students that an interrupted sweep began."""
        found = []
        for target in filter(self._is_begun, left):
            side, student = self._places[target]
            hours = side.front.prices.of(student, going | self._done(side))
            found.append(Proposal(target, hours, 1 / hours, "was begun earlier"))
        return found

    def _rated(
        self,
        side: Side,
        left: Collection[str],
        under_way: Collection[str],
        going: frozenset[str],
        hours_left: float,
        count: int,
    ) -> list[Proposal]:
        """The best of a front, as one batch."""
        taken = {s for s, plan in side.plans.items() if plan.target.id not in left}
        running = [student for s, student in map(self._places.__getitem__, under_way) if s is side]
        offers = side.front.prices.offers(taken, going | self._done(side))
        affordable = [offer for offer in offers if offer.hours <= hours_left]
        belief, spread = side.front.believe(self.scores(side))
        chosen = next_students(belief, side.front.worth, spread.own_sd, affordable, count, running)
        if not chosen:
            self._why = (
                "no student is expected to change a plan"
                if affordable
                else f"no student fits into {self._told.device_hours:g} device-hours"
                if offers
                else "no student is left"
            )
        return [
            Proposal(
                side.plans[choice.offer.student].target.id,
                choice.offer.hours,
                choice.rate,
                f"{choice.gain:.2f} AP less regret for "
                f"{duration(SECONDS_PER_HOUR * choice.offer.hours)}",
            )
            for choice in chosen
        ]

    def scores(self, side: Side) -> list[Score]:
        """The side's scores in the store, those of students that go on included."""
        if self._store is None:
            return []
        found = []
        for student, plan in side.plans.items():
            if self._store.has(plan.outputs["evaluate"]):
                metrics = read_metrics(self._store, plan.outputs["evaluate"])
                found.append(Score(student, float(metrics["AP"] or 0.0)))
            if side.front.is_full(student):
                found += self._on_the_way(side, student, plan)
        return found

    def _on_the_way(self, side: Side, student: PricedStudent, plan: CellPlan) -> list[Score]:
        """A student's scores from before its end, as of schedules of their own."""
        if not side.checkpoints:
            return []
        steps = recipe_of(plan.target).student.of_branch.schedule.steps
        aps = self._aps_by_step(plan.outputs["student"])
        cells = len(side.front.policies)
        return [
            Score(PricedStudent(student.coordinate + cells * place, student.seed), ap)
            for place, share in side.checkpoints.items()
            if (ap := aps.get(step_of(share, steps))) is not None
        ]

    def _aps_by_step(self, key: str) -> dict[int, float]:
        store = self._store
        assert store is not None  # as `scores` asks
        if not store.has(key):
            return scores_in(store.work(key)) if store.executions(key) else {}
        is_scored = SCORES in store.manifest(key).files
        return read_scores(store.read(key, SCORES)) if is_scored else {}

    def _is_begun(self, target: str) -> bool:
        """Whether an interrupted sweep began the student."""
        key = self._plans[target].outputs["student"]
        return self._store is not None and bool(self._store.executions(key))

    def _done(self, side: Side) -> frozenset[str]:
        store = self._store
        return frozenset(k for k in side.front.prices.hours if store is not None and store.has(k))

    def device_hours(self, going: Collection[str] = ()) -> float:
        """Of the students in the store with all that they read; those going on at their price."""
        done = {key for side in self._sides for key in self._done(side)} - set(going)
        manifests = [self._store.manifest(key) for key in done] if self._store else []
        prices = {k: v for side in self._sides for k, v in side.front.prices.hours.items()}
        spent = math.fsum(each.device_seconds for each in manifests)
        return spent / SECONDS_PER_HOUR + math.fsum(prices[key] for key in going)

    def decision(self, failed: Collection[str] = ()) -> Decision:
        """How it stands now, cell by cell."""
        regret = {side.front.name: side.front.regret(self.scores(side)) for side in self._sides}
        cells = tuple(cell for side in self._sides for cell in self._cells(side, failed))
        return Decision(regret, self.device_hours(), self._why, cells)

    def _cells(self, side: Side, failed: Collection[str]) -> list[CellReport]:
        front, scores = side.front, self.scores(side)
        aps: dict[int, list[float]] = {}
        for student, ap in scores:
            aps.setdefault(student.coordinate, []).append(ap)
        forecasts = front.forecast(scores)
        return [
            CellReport(
                front.name,
                policy,
                float(side.seconds[cell]),
                float(np.mean(aps[cell])) if cell in aps else None,
                len(aps.get(cell, ())),
                forecasts[cell],
                self._why_cell(side, cell, failed),
            )
            for cell, policy in enumerate(front.policies)
        ]

    def _why_cell(self, side: Side, cell: int, failed: Collection[str]) -> str:
        """Why a cell's students were run or not, those on shorter schedules included."""
        count, shorter = len(side.front.policies), side.front.shorter
        own = {s: p.target.id for s, p in side.plans.items() if s.coordinate % count == cell}
        scored = {score.student for score in self.scores(side)}
        told = []
        for student, target in own.items():
            place = student.coordinate // count  # among the schedules, the full one first
            short = f"x {shorter[place - 1]:.3g}: " if place else ""
            if target in failed:
                told.append(f"{short}failed")
            elif student in scored:
                told.append(short + self._reasons.get(target, "was in the store"))
        unasked = f"not run: {self._why}" if self._why else "not run"
        return "; ".join(dict.fromkeys(told)) or unasked

    def expected(self, simulations: int = SIMULATIONS) -> Expected:
        """What deciding is expected to take from here on, from simulated campaigns.

        Truths are drawn from what is believed now; students start one at a time.
        """
        ends = [
            [self._simulated(side, number) for number in range(simulations)] for side in self._sides
        ]
        totals = np.array(ends, float).sum(axis=0)  # (simulations, 2), over the fronts

        def quantiles(values: np.ndarray) -> tuple[float, float]:
            return float(np.median(values)), float(np.quantile(values, 0.9))

        return Expected(quantiles(totals[:, 1]), quantiles(totals[:, 0]), simulations)

    def _simulated(self, side: Side, number: int) -> tuple[float, float]:
        """Students and device-hours of one campaign."""
        front, scores = side.front, self.scores(side)
        belief, spread = front.believe(scores)
        true = belief.draw(np.random.default_rng([number, 1]), 1)[0]
        level = float(belief.expected_ap.mean())
        truth = TrueScores(true, spread.own_sd, spread.seed_sd / level, len(front.shorter))
        left = (self._told.device_hours or np.inf) - self.device_hours()
        limits = Limits(self._told.regret, max(0.0, left))
        done = [score.student for score in scores if score.student in side.plans]
        paid = self._done(side)
        end = decided(belief, front.worth, truth, front.prices, limits, number, done, paid)
        return end.students, end.device_hours
