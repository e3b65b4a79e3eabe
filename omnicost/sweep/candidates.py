"""Which students a card could train: its cells, their repeats, the same on shorter schedules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from omnicost.cost import SECONDS_PER_HOUR, DatasetStats, dataset_stats, seconds_per_image
from omnicost.decide.front import Front
from omnicost.decide.prices import PricedStudent, Prices
from omnicost.decide.worth import plan_worth, spread_budgets
from omnicost.engine.graph import Graph
from omnicost.errors import InputError
from omnicost.sweep.cards.card import Cell, Decide, merged, recipe_of
from omnicost.sweep.estimate import StageTimings
from omnicost.sweep.sources import Sources
from omnicost.sweep.stages.cell_stages import CellPlan


def candidates(cells: Sequence[Cell], told: Decide) -> tuple[Cell, ...]:
    """The card's cells, then what deciding may train beside them."""
    whole = {cell.id: cell for cell in cells}
    for seed in _seeds(cells, told.runs):
        for cell in (replace(cell, seed=seed) for cell in cells):
            whole.setdefault(cell.id, cell)
    shorter = (shortened(cell, share) for share in told.shorter for cell in whole.values())
    return (*whole.values(), *shorter)


def _seeds(cells: Sequence[Cell], runs: int) -> list[int]:
    """The card's seeds, then the next numbers."""
    own = list(dict.fromkeys(cell.seed for cell in cells))
    return own + [max(own) + 1 + more for more in range(runs - len(own))]


def shortened(cell: Cell, share: float) -> Cell:
    """The cell with a student on a share of its steps; its schedule has a label of its own."""
    schedule = recipe_of(cell).student.schedule.shortened(share)
    told = schedule.model_dump(mode="json", include={"steps", "drop_at", "warmup_steps"})
    return replace(
        cell,
        recipe=merged(cell.recipe, {"student": {"schedule": told, "score_at": []}}),
        schedule=f"{cell.schedule} x {share:.3g}",
        shortened=share,
    )


@dataclass(frozen=True)
class Side:
    """A front with its students' plans.

    Args:
        seconds: ``(N,)`` labelling seconds an image of each cell.
        checkpoints: place among the schedules -> share of its steps after which a student of the
            full one is scored as it goes.
    """

    front: Front
    plans: Mapping[PricedStudent, CellPlan]
    seconds: np.ndarray
    checkpoints: Mapping[int, float]


def sides(
    graph: Graph[Cell], told: Decide, sources: Sources, timings: StageTimings
) -> tuple[Side, ...]:
    """A side for each data set and recipe of the candidates.

    Raises:
        InputError: if a budget pays for no cell, or nothing is known of a data set that is missing.
    """
    groups: dict[tuple[str, str], list[CellPlan]] = {}
    for plan in graph.plans:
        groups.setdefault((plan.target.dataset.name, plan.target.variant), []).append(plan)
    return tuple(_side(plans, told, sources, timings) for plans in groups.values())


def _side(plans: Sequence[CellPlan], told: Decide, sources: Sources, timings: StageTimings) -> Side:
    cells = [plan.target for plan in plans]
    policies = tuple(dict.fromkeys(cell.policy for cell in cells))
    schedules = [1.0, *told.shorter]
    seeds = list(dict.fromkeys(cell.seed for cell in cells))
    students = {
        PricedStudent(
            policies.index(cell.policy) + len(policies) * schedules.index(cell.shortened),
            seeds.index(cell.seed),
        ): plan
        for cell, plan in zip(cells, plans, strict=True)
    }
    scored_at = recipe_of(cells[0]).student.score_at
    stats, images = _statistics(cells[0], sources)
    seconds = np.array([seconds_per_image(policy, stats) for policy in policies])
    front = Front(
        name="/".join(part for part in (cells[0].dataset.name, cells[0].variant) if part),
        schedule=cells[0].schedule,
        policies=policies,
        worth=plan_worth(seconds, _budgets(told, seconds, images)),
        prices=_prices(students, timings),
        shorter=(*told.shorter, *scored_at),
        seeds=len(seeds),
        spread_ap=told.spread,
    )
    return Side(front, students, seconds, dict(enumerate(scored_at, len(schedules))))


def _statistics(cell: Cell, sources: Sources) -> tuple[DatasetStats, int]:
    dataset = sources.dataset(cell.dataset, cell.dataset.train)
    if dataset is not None:
        return dataset.stats(), len(dataset)
    stats = dataset_stats(cell.dataset.name, "data set of `decide`")
    return stats, stats.images


def _budgets(told: Decide, seconds: np.ndarray, images: int) -> np.ndarray:
    """Seconds an image of each budget."""
    if not told.budgets:
        return spread_budgets(seconds)
    budgets = np.array(sorted(told.budgets)) * SECONDS_PER_HOUR / images
    if budgets[0] < seconds.min():
        least = f"{seconds.min() * images / SECONDS_PER_HOUR:.3g}h"
        problem = f"{min(told.budgets):g}h pays for no cell of the card"
        raise InputError("`budgets`", problem, f"name budgets from {least} up")
    return budgets


def _prices(students: Mapping[PricedStudent, CellPlan], timings: StageTimings) -> Prices:
    stages = (stage for plan in students.values() for stage in plan.stages)
    hours = {stage.key: timings.seconds(stage) / SECONDS_PER_HOUR for stage in stages}
    needs = {
        student: frozenset(stage.key for stage in plan.stages) for student, plan in students.items()
    }
    return Prices(needs, hours)
