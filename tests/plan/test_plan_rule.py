"""The one-line rule that plans are held against."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from plan_cases import problems, surface

from omnicost.annotation import AnnotationType
from omnicost.cost import ORDER
from omnicost.errors import InputError
from omnicost.plan.optimise import MASK, Problem, best_for_budget
from omnicost.plan.rule import strongest_affordable

POINT, BOX = AnnotationType.POINT.strength, AnnotationType.BOX.strength


def problem(masks_allowed: bool = True) -> Problem:
    """Ten images; points take 1 s, boxes 2 s, masks 10 s."""
    seconds = np.zeros(len(ORDER))
    seconds[[POINT, BOX, MASK]] = 1, 2, 10
    types = [AnnotationType.POINT, AnnotationType.BOX]
    flat = surface(np.array([[0.5, 0.5], [0.8, 0.8]]), np.array([0.0, 10.0]), types=types)
    return Problem(10, seconds, flat, masks_allowed)


@pytest.mark.parametrize(
    ("budget", "bought"),
    [
        (10, {POINT: 10}),
        (19, {POINT: 9, MASK: 1}),
        (20, {BOX: 10}),
        (36, {BOX: 8, MASK: 2}),
        (1000, {MASK: 10}),
    ],
)
def test_by_hand(budget: float, bought: dict[int, int]) -> None:
    """The strongest type that ten images can have, and masks for the rest of the money."""
    images = strongest_affordable(problem(), budget)
    assert {int(one): int(images[one]) for one in np.flatnonzero(images)} == bought


def test_limits_and_too_little() -> None:
    """Hours of a type and forbidden masks are kept; too small a budget is refused."""
    limits = {AnnotationType.BOX: 19 / 3600, AnnotationType.MASK: 10 / 3600}
    assert strongest_affordable(problem(), 100, limits)[[POINT, BOX, MASK]].tolist() == [9, 0, 1]
    assert strongest_affordable(problem(masks_allowed=False), 100)[MASK] == 0
    few = {AnnotationType.POINT: 5 / 3600, AnnotationType.BOX: 10 / 3600}
    some = few | {AnnotationType.MASK: 60 / 3600}
    assert strongest_affordable(problem(), 100, some)[[POINT, BOX, MASK]].tolist() == [4, 0, 6]
    with pytest.raises(InputError, match="no type fits on all images"):
        strongest_affordable(problem(), 100, few | {AnnotationType.MASK: 10 / 3600})
    with pytest.raises(InputError, match="cheapest policy"):
        strongest_affordable(problem(), 9)


@given(problems(), st.floats(0.0, 4000.0, allow_subnormal=False))
def test_keeps_the_budget_and_is_no_better_than_the_plan(one: Problem, budget: float) -> None:
    """Over any problem: all images are covered, within the budget, and the plan expects as much."""
    kinds = [*one.strengths, *([MASK] if one.masks_allowed else [])]
    assume(min(one.seconds[kinds]) * one.images <= budget)
    images = strongest_affordable(one, budget)
    assert images.sum() == one.images
    assert (images >= 0).all()
    assert one.cost(images) <= budget * (1 + 1e-9)
    if one.cost(images) <= budget:
        plan = best_for_budget(one, budget)
        whole = 1 / one.images
        assert one.share_of_full(images) <= one.share_of_full(plan) + whole + 1e-9
