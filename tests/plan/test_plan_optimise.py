"""Plans against enumeration, and the laws that a plan keeps."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from plan_cases import enumerate_budget, enumerate_whole, problems, relaxed_share, surface
from type_axis import by_type

from omnicost.annotation import AnnotationType
from omnicost.errors import InputError
from omnicost.plan.optimise import (
    Problem,
    best_for_budget,
    cheapest_for_target,
)

BUDGETS = st.floats(0.0, 4000.0, allow_subnormal=False)


def affordable(problem: Problem, budget: float) -> None:
    kinds = [*problem.strengths, *([AnnotationType.MASK.strength] if problem.masks_allowed else [])]
    assume(min(problem.seconds[kinds]) * problem.images <= budget)


@given(problems(), BUDGETS)
def test_equals_enumeration_of_all_pairs(problem: Problem, budget: float) -> None:
    """Every number of masks with every pair of types, mixed in any part, gives nothing better."""
    affordable(problem, budget)
    assert relaxed_share(problem, budget) == pytest.approx(
        enumerate_budget(problem, budget), abs=1e-9
    )


@given(problems(most_images=7), BUDGETS)
def test_whole_images_lose_less_than_one(problem: Problem, budget: float) -> None:
    """Over all divisions into whole images of up to five types, at most one image's worth."""
    affordable(problem, budget)
    everything = enumerate_whole(problem)
    within = everything[problem.cost(everything) <= budget]
    best = problem.share_of_full(within).max()
    share = problem.share_of_full(best_for_budget(problem, budget))
    assert best - 1 / problem.images - 1e-9 <= share <= best + 1e-9


@given(problems(), BUDGETS)
def test_never_over_budget(problem: Problem, budget: float) -> None:
    """Whole images at mean times cost no more than the budget, and all images are covered."""
    affordable(problem, budget)
    images = best_for_budget(problem, budget)
    assert problem.cost(images) <= budget * (1 + 1e-9)
    assert images.sum() == problem.images
    assert (images >= 0).all()
    allowed = {
        *problem.strengths.tolist(),
        *([AnnotationType.MASK.strength] if problem.masks_allowed else []),
    }
    assert set(np.flatnonzero(images).tolist()) <= allowed


@given(problems(), BUDGETS, BUDGETS)
def test_ap_never_falls_as_the_budget_grows(problem: Problem, one: float, other: float) -> None:
    """A larger budget never expects less."""
    low, high = sorted((one, other))
    affordable(problem, low)
    before = problem.share_of_full(best_for_budget(problem, low))
    after = problem.share_of_full(best_for_budget(problem, high))
    assert after >= before - 1e-9


@given(problems(most_images=7), st.integers(0, 100))
def test_target_is_reached_at_least_cost(problem: Problem, percent: int) -> None:
    """No division into whole images reaches the target for less than one image's step under it."""
    target = percent / 100
    everything = enumerate_whole(problem)
    reaching = everything[problem.share_of_full(everything) >= target - 1e-12]
    if not len(reaching):
        with pytest.raises(InputError, match="out of reach"):
            cheapest_for_target(problem, target)
        return
    images = cheapest_for_target(problem, target)
    assert problem.share_of_full(images) >= target - 1e-9
    least = problem.cost(reaching).min()
    assert least - 1e-6 <= problem.cost(images) <= least + problem.seconds.max() + 1e-6


@given(problems(), st.floats(0.01, 0.99))
def test_budget_and_target_are_inverse(problem: Problem, target: float) -> None:
    """What the cheapest policy for a target costs buys that target."""
    try:
        cost = float(problem.cost(cheapest_for_target(problem, target)))
    except InputError:
        return
    affordable(problem, cost)
    assert problem.share_of_full(best_for_budget(problem, cost)) >= target - 1e-9


def test_hand_example() -> None:
    """Ten images, boxes at 2 s worth 0.8, masks at 10 s: 36 s buy two masks beside eight boxes."""
    flat = surface(np.full((1, 2), 0.8), np.array([0.0, 10.0]), types=[AnnotationType.BOX])
    problem = Problem(10, by_type(0, 1, 1, 2, 10.0), flat)
    images = best_for_budget(problem, 36.0)
    assert images.tolist() == by_type(0, 0, 0, 8, 2).tolist()
    assert problem.share_of_full(images) == pytest.approx(0.2 + 0.8 * 0.8)
    assert cheapest_for_target(problem, 0.84).tolist() == by_type(0, 0, 0, 8, 2).tolist()


def test_under_the_cheapest_says_how_far_it_reaches() -> None:
    """A budget that buys no policy is one line with the number of images it would buy."""
    flat = surface(np.full((1, 2), 0.8), np.array([0.0, 10.0]), types=[AnnotationType.BOX])
    problem = Problem(10, by_type(0, 1, 1, 3600.0, 36000.0), flat)
    with pytest.raises(InputError, match=r"4 h is under the cheapest.*label 4 images"):
        best_for_budget(problem, 4 * 3600.0)


def test_over_the_dearest_buys_every_mask_and_no_more() -> None:
    """A budget beyond all masks buys all masks; equally good policies go to the cheapest."""
    types = [AnnotationType.POINT, AnnotationType.BOX]
    rising = surface(np.array([[0.1, 0.2], [0.5, 0.6]]), np.array([0.0, 10.0]), types=types)
    problem = Problem(10, by_type(0, 1, 1, 2, 10.0), rising)
    assert best_for_budget(problem, 1e9).tolist() == by_type(0, 0, 0, 0, 10).tolist()
    as_good = surface(np.array([[1.0, 1.0], [1.0, 1.0]]), np.array([0.0, 10.0]), types=types)
    problem = Problem(10, by_type(0, 1, 1, 2, 10.0), as_good)
    assert best_for_budget(problem, 1e9).tolist() == by_type(0, 0, 10, 0, 0).tolist()
