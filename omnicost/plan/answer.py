"""One question, answered on a problem: the only place that tells the sorts of question apart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations
from typing import Final

import numpy as np

from omnicost.annotation import AnnotationType
from omnicost.cost import SpendDraws
from omnicost.errors import InputError
from omnicost.plan.limits import best_at_confidence, fit_confidence
from omnicost.plan.linear import best_with_limits
from omnicost.plan.optimise import MASK, Problem, best_for_budget, cheapest_for_target
from omnicost.plan.question import Question

_HANDFUL: Final = 0.005
"""Share of the images under which a type is not worth a sentence."""
_NEGLIGIBLE_SHARE: Final = 2e-4
"""Share of full supervision, about 0.01 AP, that a simpler plan may cost."""
_GRID: Final = 1.02
"""Ratio of neighbouring numbers of masks that runners-up are searched on."""


def answer(
    question: Question, problem: Problem, spend: SpendDraws, masks: np.ndarray | None = None
) -> np.ndarray:
    """Images per type, (T,), that answer the question on the problem.

    Args:
        question: what is asked.
        problem: what is to be divided.
        spend: draws of what allocations take; read under confidence only.
        masks: numbers of masks to try where neither hours nor confidence limit them; all of them
            if not given.

    Raises:
        InputError: if nothing answers it.
    """
    limits, budget = question.max_hours, question.budget_seconds
    if limits and problem.in_hand is None:
        # Programs under limits are coarser than the closed form: they are for limits that bind.
        free = answer(replace(question, max_hours={}), problem, spend, masks)
        if problem.keeps(free, limits):
            return free
    limited = bool(limits) or problem.in_hand is not None

    def most(seconds: float) -> np.ndarray:
        if limited:
            return best_with_limits(problem, limits, seconds)
        return best_for_budget(problem, seconds, masks)

    if budget is None:
        target = float(question.target or 0)
        if limited:
            return best_with_limits(problem, limits, target=target)
        return cheapest_for_target(problem, target, masks)
    if question.confidence is None:
        return most(budget)
    if limited:
        return fit_confidence(most, problem, spend, budget, question.confidence)
    return best_at_confidence(problem, spend, budget, question.confidence)


def simplest_answer(question: Question, problem: Problem, spend: SpendDraws) -> np.ndarray:
    """The answer without types that only a handful of images get, where next to nothing is lost.

    Change left over from whole masks would otherwise send three images to box annotators.
    """
    exact = simpler = answer(question, problem, spend)
    narrower = problem
    while few := _handfuls(narrower, simpler):
        kept = tuple(each for each in narrower.surface.types if each not in few)
        narrower = replace(narrower, surface=narrower.surface.restricted(kept))
        try:
            simpler = answer(question, narrower, spend)
        except InputError:
            return exact
    lost = problem.share_of_full(exact) - problem.share_of_full(simpler)
    dearer = problem.cost(simpler) > problem.cost(exact) * (1 + _HANDFUL)
    worse = lost > _NEGLIGIBLE_SHARE or (question.target is not None and dearer)
    return exact if worse else simpler


def _handfuls(problem: Problem, images: np.ndarray) -> list[AnnotationType]:
    """Types that need annotators for very few images; none if nothing else would be left."""
    types = problem.surface.types
    few = [
        each
        for each in types
        if 0 < images[each.strength] < _HANDFUL * problem.images
        and problem.seconds[each.strength]
        and not problem.held[each.strength]
    ]
    return few if len(few) < len(types) else []


def answers_of_other_types(
    question: Question, problem: Problem, spend: SpendDraws, images: np.ndarray
) -> list[np.ndarray]:
    """The answers, (T,) each, that use other sets of types than `images` do."""
    masks = problem.mask_grid(_GRID)
    found: dict[frozenset[int], np.ndarray] = {}
    pairs = not question.max_hours and problem.in_hand is None
    for narrower in _narrower(problem, pairs):
        tried = masks if narrower.masks_allowed else masks[:1]
        try:
            other = answer(question, narrower, spend, tried)
        except InputError:
            continue
        found.setdefault(_types_used(other), other)
    found.pop(_types_used(images), None)
    return list(found.values())


def _types_used(images: np.ndarray) -> frozenset[int]:
    """The types that make a plan what it is: masks, and those with more than a handful."""
    used = images >= _HANDFUL * images.sum()
    used[MASK] = images[MASK] > 0
    return frozenset(np.flatnonzero(used).tolist())


def _narrower(problem: Problem, pairs: bool) -> Iterator[Problem]:
    """The problem with one or two of its weak types, and those in hand, with and without masks."""
    types = problem.surface.types
    held = [one for one in types if problem.held[one.strength]]
    sets = [(one,) for one in types] + (list(combinations(types, 2)) if pairs else [])
    for some in sets:
        surface = problem.surface.restricted([*some, *held])
        for masks in {problem.masks_allowed, False}:
            yield replace(problem, surface=surface, masks_allowed=masks)
