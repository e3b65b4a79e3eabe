"""From a question to a plan: one fixed allocation, what to expect of it, and what else there is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import numpy as np

from omnicost.annotation import AnnotationType, Policy, listed
from omnicost.cost import (
    ORDER,
    SECONDS_PER_HOUR,
    DatasetStats,
    LabellingTimes,
    OverheadsByType,
    draw_spend,
    overhead_factors,
    seconds_paid_again,
    type_seconds,
    with_overheads,
)
from omnicost.errors import InputError
from omnicost.plan.answer import answers_of_other_types, simplest_answer
from omnicost.plan.evidence import WEAK, Evidence, gather, untested
from omnicost.plan.optimise import MASK, Problem
from omnicost.plan.question import Question
from omnicost.plan.rule import strongest_affordable
from omnicost.plan.uncertainty import Expectation, Risk, Worlds, assess, expect
from omnicost.results import Row, TeacherRow

DRAWS: Final = 1000
CLEARLY: Final = 0.9
"""Chance from which on a plan counts as better than the rule. On weak evidence the rule stands
unless it is beaten by that much: analysis/planner/regret.py."""
MORE: Final = 1.1
_RUNNERS_UP: Final = 3


class Alternative(NamedTuple):
    """Another allocation: images per type (T,), its mean cost and AP."""

    images: np.ndarray
    hours: float
    share: float
    ap: float | None
    better: float
    """Chance that its AP is over the plan's."""
    worse: float
    """Chance that its AP is under the plan's."""


@dataclass(frozen=True)
class Plan:
    """One fixed allocation and what is known about it.

    Attributes:
        images: (T,) int64, images per type in the order of `cost.ORDER`.
        hours: mean hours it takes.
        question, stats, times, evidence, problem, worlds: what it answers and rests on.
        expectation: AP and its interval.
        risk: spend and regret over common draws.
        runners_up: the best plans of other sets of types.
        rule: what the one-line rule buys for the plan's money, "the strongest type that all images
            can have, the rest on masks"; None where it can buy nothing.
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
    rule: Alternative | None
    more: Alternative | None
    notes: tuple[str, ...]

    @property
    def policy(self) -> Policy:
        """The shares of the images over annotation types."""
        shares = self.images / self.images.sum()
        return Policy(tuple((k, float(s)) for k, s in zip(ORDER, shares, strict=True) if s))

    @property
    def new_labels(self) -> np.ndarray:
        """(T,) int64, labels of each type that are still to be made."""
        labels = self.problem.new_labels(self.images)
        labels[0] = self.images[0]
        return labels

    @property
    def labelled(self) -> tuple[AnnotationType, ...]:
        """The types that somebody labels, strongest first."""
        types = reversed(AnnotationType)
        return tuple(each for each in types if each.strength and self.new_labels[each.strength])

    @property
    def label_hours(self) -> np.ndarray:
        """(T,) mean hours of the new labels of each type, adding to `hours`."""
        full: np.ndarray = self.new_labels * self.problem.seconds / SECONDS_PER_HOUR
        return full * self.part_paid

    @property
    def part_paid(self) -> float:
        """Part of the new labels' price that is paid: labels in hand have paid the rest."""
        full = float(self.new_labels @ self.problem.seconds)
        return self.hours * SECONDS_PER_HOUR / full if full else 1.0

    @property
    def beats_rule(self) -> bool:
        """Whether the plan is clearly better than the rule: with a chance of `CLEARLY` or more."""
        return self.rule is None or self.rule.worse >= CLEARLY

    def as_dict(self) -> dict[str, Any]:
        """The plan as plain JSON data; AP in percent, shares of full supervision in [0, 1]."""
        types = listed(self.problem.surface.types)

        def by_type(values: np.ndarray) -> dict[str, Any]:
            return {str(each): values[each.strength].item() for each in types}

        def plain(one: Alternative) -> dict[str, Any]:
            return one._asdict() | {"images": by_type(one.images)}

        return {
            "question": _plain(self.question),
            "dataset": self.stats.name,
            "statistics": self.stats.model_dump(),
            "seconds_per_image": by_type(self.problem.seconds),
            "images": by_type(self.images),
            "in_hand": by_type(self.problem.held),
            "new_labels": by_type(self.new_labels),
            "policy": self.policy.as_dict(),
            "hours": self.hours,
            "expectation": _plain(self.expectation),
            "full_supervision_ap": self.evidence.surface.full,
            "risk": _plain(self.risk),
            "rule": None if self.rule is None else plain(self.rule),
            "beats_rule": self.beats_rule,
            "runners_up": [plain(one) for one in self.runners_up],
            "ten_percent_more": None if self.more is None else plain(self.more),
            "evidence": {"grade": self.evidence.grade, "grounds": self.evidence.grounds},
            "notes": list(self.notes),
            "draws": len(self.evidence.surface.full_draws),
        }


def make_plan(
    question: Question,
    stats: DatasetStats,
    times: LabellingTimes | None = None,
    *,
    dataset: str | None = None,
    rows: Sequence[Row] | None = None,
    like: Sequence[str] = (),
    types: Sequence[AnnotationType] | None = None,
    overheads: OverheadsByType | None = None,
    in_hand: np.ndarray | None = None,
    teachers: Sequence[TeacherRow] = (),
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
        overheads: review, rework and idle time that hours pay for as well; labelling alone if not
            given. Set-up time is left to the caller, who takes it off the budget.
        in_hand: (T,) images that have a label of each type already. They keep it or are raised,
            never lowered, and only new labels are paid for.
        teachers: quality of the project's pseudo-masks, where no student was trained.
        draws: draws of everything that is uncertain.
        seed: of the draws.

    Raises:
        InputError: if the question has no answer, or the evidence does not fit together.
    """
    times = LabellingTimes() if times is None else times
    surface_rng, spend_rng, overhead_rng = np.random.default_rng(seed).spawn(3)
    evidence = gather(stats.images, surface_rng, dataset, rows, like, draws, teachers)
    problem = _restrict(stats, times, evidence, types, overheads)
    if in_hand is not None and in_hand[1:].any():
        problem = _with_labels(problem, stats, times, in_hand)
    spend = draw_spend(stats, times, spend_rng, draws)
    worlds = Worlds(problem, with_overheads(spend, overheads, overhead_rng))
    images = _answer(question, worlds)
    rule = _rule(question, worlds, images)
    kept = (
        evidence.grade == WEAK and question.is_plain and rule is not None and rule.worse < CLEARLY
    )
    if kept and rule is not None:
        images = rule.images
        rule = _alternative(worlds, images, images)
    hours = float(problem.cost(images)) / SECONDS_PER_HOUR
    return Plan(
        images=images,
        hours=hours,
        question=question,
        stats=stats,
        times=times,
        evidence=evidence,
        problem=problem,
        worlds=worlds,
        expectation=expect(worlds, images),
        risk=_risk(question, worlds, images),
        runners_up=_runners_up(question.same_spend(hours), worlds, images),
        rule=rule,
        more=_more(question.with_more(MORE, hours), worlds, images),
        notes=_notes(problem, evidence, images, rule, kept),
    )


_BISECTIONS: Final = 18


def _answer(question: Question, worlds: Worlds) -> np.ndarray:
    """The answer; a target under confidence is aimed above, just so far that it holds so often."""
    if question.target is None or question.confidence is None:
        return simplest_answer(question, worlds.problem, worlds.spend)

    def aim(target: float) -> np.ndarray:
        aimed = replace(question, target=target, confidence=None)
        return simplest_answer(aimed, worlds.problem, worlds.spend)

    def holds(images: np.ndarray) -> bool:
        return bool((worlds.shares(images) >= question.target).mean() >= question.confidence)

    images = aim(question.target)
    best = images if holds(images) else None
    low, high = question.target, 1.0
    for step in range(0 if best is not None else _BISECTIONS):
        middle = high if step == 0 else (low + high) / 2
        try:
            images = aim(middle)
        except InputError:  # out of reach
            high = middle
            continue
        low, high, best = (low, middle, images) if holds(images) else (middle, high, best)
    if best is None:
        problem = f"{question.target:.1%} of full is not reached with {question.confidence:.0%}"
        raise InputError("`target`", problem, "lower it or the confidence, or allow more types")
    return best


def _restrict(
    stats: DatasetStats,
    times: LabellingTimes,
    evidence: Evidence,
    types: Sequence[AnnotationType] | None,
    overheads: OverheadsByType | None,
) -> Problem:
    surface, masks_allowed = evidence.surface, True
    if types is not None:
        measured = (*surface.types, AnnotationType.MASK)
        if missing := ", ".join(each for each in types if each not in measured):
            problem = f"{missing}: no student was measured"
            raise InputError("`types`", problem, f"use {', '.join(measured)}")
        masks_allowed = AnnotationType.MASK in types
        surface = surface.restricted((*types, AnnotationType.NONE))
    if not surface.types:
        raise InputError("`types`", "leave nothing to choose between", "add a weak type")
    seconds = type_seconds(stats, times) * overhead_factors(overheads)
    return Problem(stats.images, seconds, surface, masks_allowed)


def _with_labels(
    problem: Problem, stats: DatasetStats, times: LabellingTimes, in_hand: np.ndarray
) -> Problem:
    """The problem of images some of which are labelled."""
    held = np.where(np.arange(len(ORDER)) > 0, in_hand, 0).astype(np.int64)
    if held.sum() > stats.images:
        text = f"{held.sum():,} images of {stats.images:,} have a label"
        raise InputError("`in_hand`", text, "list all images of the project with `images`")
    known = {*problem.strengths.tolist(), MASK}
    lost = [str(ORDER[one]) for one in np.flatnonzero(held) if one not in known]
    if lost:
        text = f"{', '.join(lost)}: no student was measured with these, or `types` leaves them out"
        raise InputError("`in_hand`", text, "leave those labels out, or measure them")
    return replace(problem, in_hand=held, paid_again=seconds_paid_again(stats, times))


def _risk(question: Question, worlds: Worlds, images: np.ndarray) -> Risk:
    masks = worlds.problem.mask_grid()
    limit = question.max_hours.get(AnnotationType.MASK)
    if limit is not None:
        new = masks - worlds.problem.held[MASK]
        masks = masks[new * worlds.problem.seconds[MASK] <= limit * SECONDS_PER_HOUR]
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
        worse=float((worlds.shares(images) < worlds.shares(plan)).mean()),
    )


def _rule(question: Question, worlds: Worlds, images: np.ndarray) -> Alternative | None:
    """The one-line rule for the budget, or for what the plan spends where there is no plain one."""
    budget = question.budget_seconds
    if budget is None or question.confidence is not None:
        budget = float(worlds.problem.cost(images)) * (1 + 1e-9)
    try:
        rule = strongest_affordable(worlds.problem, budget, question.max_hours)
    except InputError:
        return None
    return _alternative(worlds, images, rule)


def _more(question: Question, worlds: Worlds, images: np.ndarray) -> Alternative | None:
    """The best plan for more money; None where it expects no more."""
    other = simplest_answer(question, worlds.problem, worlds.spend)
    found = _alternative(worlds, images, other)
    return found if found.share > float(worlds.problem.share_of_full(images)) + 1e-9 else None


def _runners_up(question: Question, worlds: Worlds, images: np.ndarray) -> tuple[Alternative, ...]:
    """The best plans that use other sets of types, for the same question."""
    found = answers_of_other_types(question, worlds.problem, worlds.spend, images)
    others = [_alternative(worlds, images, other) for other in found]
    by_cost = question.target is not None
    others.sort(key=lambda one: one.hours if by_cost else -one.share)
    return tuple(others[:_RUNNERS_UP])


def _notes(
    problem: Problem, evidence: Evidence, images: np.ndarray, rule: Alternative | None, kept: bool
) -> tuple[str, ...]:
    weak = [one for one in problem.surface.types if images[one.strength]]
    notes = [*evidence.notes, *untested(evidence, weak, int(images[MASK]))]
    if kept:
        notes.append(
            "This is the rule of thumb (the strongest type that all images can have, the rest on "
            "masks): on weak evidence no other plan is clearly better."
        )
    elif rule is not None and rule.worse < CLEARLY and not np.array_equal(rule.images, images):
        notes.append(
            "Not clearly better than the rule of thumb (the strongest type that all images can "
            f"have, the rest on masks): the chance is {rule.worse:.0%}."
        )
    if evidence.reference_images is not None and evidence.reference_images != problem.images:
        notes.append(
            f"AP is that of the students' {evidence.reference_images:,} images; full supervision "
            f"of {problem.images:,} images is another AP, which nobody measured here: read shares."
        )
    return tuple(notes)


def _plain(value: Any) -> dict[str, Any]:
    pairs = value._asdict() if hasattr(value, "_asdict") else vars(value)
    return {
        name: {str(k): v for k, v in one.items()} if isinstance(one, Mapping) else one
        for name, one in pairs.items()
    }
