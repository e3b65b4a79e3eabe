"""From a question to a plan: one fixed allocation, what to expect of it, and what else there is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any, Final, NamedTuple

import numpy as np

from omnicost.annotation import AnnotationType, Policy
from omnicost.cost import (
    ORDER,
    SECONDS_PER_HOUR,
    DatasetStats,
    LabellingTimes,
    SpendDraws,
    draw_spend,
    type_seconds,
)
from omnicost.errors import InputError
from omnicost.plan.evidence import Evidence, gather, untested
from omnicost.plan.limits import best_at_confidence, best_with_hours, fit_confidence
from omnicost.plan.optimise import MASK, Problem, best_for_budget, cheapest_for_target
from omnicost.plan.uncertainty import Expectation, Risk, Worlds, assess, expect
from omnicost.results import Row

DRAWS: Final = 1000
MORE: Final = 1.1
_RUNNERS_UP: Final = 3
_HANDFUL: Final = 0.005
"""Share of the images under which a type is not worth a sentence."""
_NEGLIGIBLE_SHARE: Final = 2e-4
"""Share of full supervision, about 0.01 AP, that a simpler plan may cost."""


@dataclass(frozen=True)
class Question:
    """What is asked: the most AP for a budget, or the least cost for a target.

    Attributes:
        budget_hours: what may be spent; None for a target.
        target: share of full supervision to reach; None for a budget.
        confidence: with what chance the spend must fit; None to fit it at mean times.
        max_hours: hours that annotators of a type have.
    """

    budget_hours: float | None = None
    target: float | None = None
    confidence: float | None = None
    max_hours: Mapping[AnnotationType, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if (self.budget_hours is None) == (self.target is None):
            given = "neither is given" if self.target is None else "both are given"
            raise InputError("--budget, --target", given, "give one of them")
        if self.budget_hours is not None and not 0 <= self.budget_hours < np.inf:
            raise InputError("--budget", f"{self.budget_hours:g} h", "give hours from 0 up")
        if self.target is not None and not 0 < self.target <= 1:
            raise InputError("--target", f"{self.target:.4g} of full", "give 1% to 100%")
        self._check_limits()

    def _check_limits(self) -> None:
        if self.confidence is not None and not 0.5 <= self.confidence < 1:
            raise InputError("--confidence", f"is {self.confidence:g}", "give 0.5 to 0.99")
        if self.confidence is not None and self.budget_hours is None:
            raise InputError("--confidence", "needs a budget to fit", "give --budget")
        for kind, hours in self.max_hours.items():
            if not 0 <= hours < np.inf:
                raise InputError("--max-hours", f"{kind} is {hours:g}", "give hours from 0 up")

    @property
    def budget_seconds(self) -> float | None:
        """The budget in seconds."""
        return None if self.budget_hours is None else self.budget_hours * SECONDS_PER_HOUR


class Alternative(NamedTuple):
    """Another allocation: images per type (5,), its mean cost and AP."""

    images: np.ndarray
    hours: float
    share: float
    ap: float | None
    better: float
    """Chance that its AP is over the plan's."""


@dataclass(frozen=True)
class Plan:
    """One fixed allocation and what is known about it.

    Attributes:
        images: (5,) int64, images per type in the order of `cost.ORDER`.
        hours: mean hours it takes.
        question, stats, times, evidence, problem, worlds: what it answers and rests on.
        expectation: AP and its interval.
        risk: spend and regret over common draws.
        runners_up: the best plans of other sets of types.
        more: what 10% more hours would buy; None if nothing.
        notes: what a reader must know.
    """

    images: np.ndarray
    hours: float
    question: Question
    stats: DatasetStats
    times: LabellingTimes
    evidence: Evidence
    problem: Problem
    worlds: Worlds
    expectation: Expectation
    risk: Risk
    runners_up: tuple[Alternative, ...]
    more: Alternative | None
    notes: tuple[str, ...]

    @property
    def policy(self) -> Policy:
        """The shares of the images over annotation types."""
        return policy_of(self.images)

    def as_dict(self) -> dict[str, Any]:
        """The plan as plain JSON data; AP in percent, shares of full supervision in [0, 1]."""
        return {
            "question": _plain(self.question),
            "dataset": self.stats.name,
            "statistics": self.stats.model_dump(),
            "seconds_per_image": _by_type(self.problem.seconds),
            "images": _by_type(self.images),
            "policy": self.policy.as_dict(),
            "hours": self.hours,
            "expectation": _plain(self.expectation),
            "full_supervision_ap": self.evidence.surface.full,
            "risk": _plain(self.risk),
            "runners_up": [_plain_alternative(one) for one in self.runners_up],
            "ten_percent_more": None if self.more is None else _plain_alternative(self.more),
            "evidence": {"grade": self.evidence.grade, "grounds": self.evidence.grounds},
            "notes": list(self.notes),
            "draws": len(self.worlds.student_noise),
        }


def policy_of(images: np.ndarray) -> Policy:
    """The policy of an allocation (5,)."""
    shares = images / images.sum()
    return Policy(tuple((k, float(s)) for k, s in zip(ORDER, shares, strict=True) if s))


def make_plan(
    question: Question,
    stats: DatasetStats,
    times: LabellingTimes | None = None,
    *,
    dataset: str | None = None,
    rows: Sequence[Row] | None = None,
    like: Sequence[str] = (),
    types: Sequence[AnnotationType] | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> Plan:
    """The plan for `stats.images` images.

    Args:
        question: budget or target, and limits.
        stats: statistics and number of the images.
        times: labelling times; the published ones if not given.
        dataset: whose students to plan from; see `evidence.gather`.
        rows: measured students; the paper's Table 2 if not given.
        like: data sets that the project resembles, if it has no sweep of its own.
        types: what annotators can do; everything that was measured if not given. Leaving images
            alone (`none`) needs no annotator and always stays possible where it was measured.
        draws: draws of everything that is uncertain.
        seed: of the draws.

    Raises:
        InputError: if the question has no answer, or the evidence does not fit together.
    """
    times = LabellingTimes() if times is None else times
    surface_rng, spend_rng, noise_rng = np.random.default_rng(seed).spawn(3)
    evidence = gather(stats.images, surface_rng, dataset, rows, like, draws)
    problem = _restrict(stats, times, evidence, types)
    worlds = Worlds(
        problem=problem,
        spend=draw_spend(stats, times, spend_rng, draws),
        student_noise=evidence.surface.noise_sd * noise_rng.standard_normal(draws),
    )
    images = _tidy(question, worlds, _solve(question, worlds.problem, worlds.spend))
    return Plan(
        images=images,
        hours=float(problem.cost(images)) / SECONDS_PER_HOUR,
        question=question,
        stats=stats,
        times=times,
        evidence=evidence,
        problem=problem,
        worlds=worlds,
        expectation=expect(worlds, images),
        risk=_risk(question, worlds, images),
        runners_up=_runners_up(question, worlds, images),
        more=_more(question, worlds, images),
        notes=_notes(problem, evidence, images),
    )


def _restrict(
    stats: DatasetStats,
    times: LabellingTimes,
    evidence: Evidence,
    types: Sequence[AnnotationType] | None,
) -> Problem:
    surface, masks_allowed = evidence.surface, True
    if types is not None:
        allowed = {*types, AnnotationType.NONE}
        missing = [k for k in types if k not in {*surface.types, AnnotationType.MASK}]
        if missing:
            measured = ", ".join([*surface.types, AnnotationType.MASK])
            names = ", ".join(missing)
            raise InputError("--types", f"{names}: no student was measured", f"use {measured}")
        masks_allowed = AnnotationType.MASK in types
        surface = surface.restricted(tuple(allowed))
    if not surface.types:
        raise InputError("--types", "leave nothing to choose between", "add a weak type")
    return Problem(stats.images, type_seconds(stats, times), surface, masks_allowed)


def _solve(question: Question, problem: Problem, spend: SpendDraws) -> np.ndarray:
    """Images per type (5,) that answer the question."""
    budget = question.budget_seconds
    if question.max_hours:
        limits = dict(question.max_hours)
        if budget is None:
            return best_with_hours(problem, limits, target=question.target)

        def solve(allowed: float) -> np.ndarray:
            return best_with_hours(problem, limits, allowed)

        if question.confidence is None:
            return solve(budget)
        return fit_confidence(solve, spend, budget, question.confidence)
    if budget is None:
        return cheapest_for_target(problem, float(question.target or 0))
    if question.confidence is None:
        return best_for_budget(problem, budget)
    return best_at_confidence(problem, spend, budget, question.confidence)


def _tidy(question: Question, worlds: Worlds, images: np.ndarray) -> np.ndarray:
    """The same without types that only a handful of images get, where next to nothing is lost.

    Change left over from whole masks would otherwise send three images to box annotators.
    """
    problem, best = worlds.problem, images
    while few := _handfuls(problem, best):
        kept = tuple(kind for kind in problem.surface.types if kind not in few)
        problem = replace(problem, surface=problem.surface.restricted(kept))
        try:
            best = _solve(question, problem, worlds.spend)
        except InputError:
            return images
    lost = worlds.problem.share_of_full(images) - worlds.problem.share_of_full(best)
    dearer = worlds.problem.cost(best) > worlds.problem.cost(images) * (1 + _HANDFUL)
    if lost > _NEGLIGIBLE_SHARE or (question.target is not None and dearer):
        return images
    return best


def _handfuls(problem: Problem, images: np.ndarray) -> list[AnnotationType]:
    """Types that need annotators for very few images; none if nothing else would be left."""
    kinds = problem.surface.types
    few = [
        kind
        for kind in kinds
        if 0 < images[kind.strength] < _HANDFUL * problem.images and problem.seconds[kind.strength]
    ]
    return few if len(few) < len(kinds) else []


def _risk(question: Question, worlds: Worlds, images: np.ndarray) -> Risk:
    masks = worlds.problem.mask_grid()
    limit = question.max_hours.get(AnnotationType.MASK)
    if limit is not None:
        masks = masks[masks * worlds.problem.seconds[MASK] <= limit * SECONDS_PER_HOUR]
    masks = np.unique(np.append(masks, images[MASK]))
    return assess(worlds, images, question.budget_seconds, question.target, masks)


def _alternative(worlds: Worlds, plan: np.ndarray, images: np.ndarray) -> Alternative:
    share = float(worlds.problem.share_of_full(images))
    full = worlds.problem.surface.full
    return Alternative(
        images=images,
        hours=float(worlds.problem.cost(images)) / SECONDS_PER_HOUR,
        share=share,
        ap=None if full is None else share * full,
        better=float((worlds.shares(images) > worlds.shares(plan)).mean()),
    )


def _more(question: Question, worlds: Worlds, images: np.ndarray) -> Alternative | None:
    """The best plan for 10% more; None where the plan already has everything."""
    spent = float(worlds.problem.cost(images)) / SECONDS_PER_HOUR
    budget = MORE * (spent if question.budget_hours is None else question.budget_hours)
    wider = replace(question, budget_hours=budget, target=None)
    other = _alternative(
        worlds, images, _tidy(wider, worlds, _solve(wider, worlds.problem, worlds.spend))
    )
    gained = other.share > float(worlds.problem.share_of_full(images)) + 1e-9
    return other if gained else None


def _runners_up(question: Question, worlds: Worlds, images: np.ndarray) -> tuple[Alternative, ...]:
    """The best plans that use other sets of types, for the same question."""
    grid = worlds.problem.mask_grid(1.02)
    solve: Callable[[Problem], np.ndarray]
    if question.max_hours:
        limits = dict(question.max_hours)
        spent = np.inf if question.budget_hours is None else float(worlds.problem.cost(images))

        def solve(problem: Problem) -> np.ndarray:
            return best_with_hours(problem, limits, spent, question.target)
    elif question.target is not None:
        target = question.target

        def solve(problem: Problem) -> np.ndarray:
            return cheapest_for_target(problem, target, _allowed(problem, grid))
    else:
        # Under --confidence the same mean spend, so that plans compare like for like.
        budget = question.budget_seconds
        if question.confidence is not None or budget is None:
            budget = float(worlds.problem.cost(images)) * (1 + 1e-9)
        hours = budget

        def solve(problem: Problem) -> np.ndarray:
            return best_for_budget(problem, hours, _allowed(problem, grid))

    found: dict[frozenset[int], np.ndarray] = {}
    for problem in _families(worlds.problem, pairs=not question.max_hours):
        try:
            other = solve(problem)
        except InputError:
            continue
        found.setdefault(_family(other), other)
    found.pop(_family(images), None)
    others = [_alternative(worlds, images, other) for other in found.values()]
    by_cost = question.target is not None
    others.sort(key=lambda one: one.hours if by_cost else -one.share)
    return tuple(others[:_RUNNERS_UP])


def _family(images: np.ndarray) -> frozenset[int]:
    """The types that make a plan what it is: masks, and those with more than a handful."""
    used = images >= _HANDFUL * images.sum()
    used[MASK] = images[MASK] > 0
    return frozenset(np.flatnonzero(used).tolist())


def _allowed(problem: Problem, grid: np.ndarray) -> np.ndarray:
    return grid if problem.masks_allowed else grid[:1]


def _families(problem: Problem, pairs: bool) -> Iterator[Problem]:
    """The problem with one or two of its weak types, with and without masks."""
    kinds = problem.surface.types
    sets = [(kind,) for kind in kinds] + (list(combinations(kinds, 2)) if pairs else [])
    for some in sets:
        for masks in {problem.masks_allowed, False}:
            yield replace(problem, surface=problem.surface.restricted(some), masks_allowed=masks)


def _notes(problem: Problem, evidence: Evidence, images: np.ndarray) -> tuple[str, ...]:
    weak = [kind for kind in problem.surface.types if images[kind.strength]]
    notes = [*evidence.notes, *untested(evidence, weak, int(images[MASK]))]
    if evidence.reference_images is not None and evidence.reference_images != problem.images:
        notes.append(
            f"AP is that of the students' {evidence.reference_images:,} images; full supervision "
            f"of {problem.images:,} images is another AP, which nobody measured here: read shares."
        )
    return tuple(notes)


def _by_type(values: np.ndarray) -> dict[str, Any]:
    return {str(kind): value for kind, value in zip(ORDER, values.tolist(), strict=True)}


def _plain(value: Any) -> dict[str, Any]:
    pairs = value._asdict() if hasattr(value, "_asdict") else vars(value)
    return {
        name: {str(k): v for k, v in one.items()} if isinstance(one, Mapping) else one
        for name, one in pairs.items()
    }


def _plain_alternative(one: Alternative) -> dict[str, Any]:
    return one._asdict() | {"images": _by_type(one.images)}
