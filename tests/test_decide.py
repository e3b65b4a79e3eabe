"""Deciding which cell to measure: beliefs, what plans are worth, gains, simulated campaigns."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omnicost.annotation import Policy
from omnicost.cost import dataset_stats, seconds_per_image
from omnicost.decide.belief import Belief, prior_belief, worth_no_more
from omnicost.decide.campaign import Limits, Students, decided, listed
from omnicost.decide.choose import gain_of, next_cells, rate
from omnicost.decide.worth import plan_worth, spread_budgets
from omnicost.pareto import best_mix
from omnicost.results import paper_rows

ROWS = paper_rows("coco")
POLICIES = [row.policy for row in ROWS]
TRUE = np.array([row.ap for row in ROWS])
SECONDS = np.array([seconds_per_image(policy, dataset_stats("coco")) for policy in POLICIES])
WORTH = plan_worth(SECONDS, spread_budgets(SECONDS))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 12), st.floats(5, 60)), min_size=1, max_size=6))
def test_conditioning_is_that_of_a_gaussian(scores: list[tuple[int, float]]) -> None:
    """Measurements one by one give the posterior of all at once (closed form)."""
    belief = prior_belief(POLICIES)
    sds = [0.5] * len(scores)
    for (cell, ap), sd in zip(scores, sds, strict=True):
        belief = belief.after(cell, ap, sd)
    prior = prior_belief(POLICIES)
    cells = [cell for cell, _ in scores]
    aps = np.array([ap for _, ap in scores])
    cross = prior.covariance[:, cells]
    noise = np.diag((np.array(sds) / aps) ** 2)
    gain = np.linalg.solve(prior.covariance[np.ix_(cells, cells)] + noise, cross.T).T
    np.testing.assert_allclose(
        belief.mean, prior.mean + gain @ (np.log(aps) - prior.mean[cells]), atol=1e-6
    )
    np.testing.assert_allclose(belief.covariance, prior.covariance - gain @ cross.T, atol=1e-6)


def test_order_bounds_what_was_not_measured() -> None:
    """A cell between two measured ones is not believed to lie outside them."""
    belief = prior_belief(POLICIES)
    low, high = (POLICIES.index(Policy.cell(kind, 0.01)) for kind in ("none", "box"))
    belief = belief.after(low, 30.0, 0.4).after(high, 32.0, 0.4)
    between = [
        cell
        for cell, policy in enumerate(POLICIES)
        if worth_no_more(POLICIES[low], policy) and worth_no_more(policy, POLICIES[high])
    ]
    believed = belief.expected_ap[between]
    assert len(between) == 4
    assert (believed >= belief.expected_ap[low] - 1e-9).all()
    assert (believed <= belief.expected_ap[high] + 1e-9).all()


def test_worth_is_the_hull() -> None:
    """The best plan at a budget is what `pareto.best_mix` says."""
    budgets = spread_budgets(SECONDS)
    expected = [best_mix(SECONDS, TRUE, budget).value for budget in budgets]
    np.testing.assert_allclose(WORTH.best(TRUE), expected, atol=1e-9)
    assert (
        WORTH.mixtures @ SECONDS
        <= np.repeat(budgets, np.diff([*WORTH.first, len(WORTH.mixtures)])) + 1e-9
    ).all()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(1, 60), min_size=13, max_size=13))
def test_regret_is_never_negative(believed: list[float]) -> None:
    """No belief plans better than the truth does."""
    assert (WORTH.regret(np.array(believed), TRUE) >= -1e-9).all()
    assert WORTH.regret(TRUE, TRUE) == pytest.approx(np.zeros(20), abs=1e-9)


def test_gain_is_the_mean_over_outcomes() -> None:
    """The quadrature of a gain agrees with sampling the measurement itself."""
    belief = prior_belief(POLICIES).after(12, 43.5, 0.4).after(0, 35.1, 0.4)
    cell, noise_sd = 3, 0.4
    rng = np.random.default_rng(0)
    sd = np.sqrt(belief.covariance[cell, cell] + (noise_sd / np.exp(belief.mean[cell])) ** 2)
    step = belief.covariance[:, cell] / sd
    moved = belief.ap(belief.mean + rng.standard_normal((40_000, 1)) * step)
    today = WORTH.choose(belief.expected_ap)
    sampled = (WORTH.best(moved) - moved @ today.T).mean()
    assert gain_of(belief, WORTH, cell, noise_sd) == pytest.approx(sampled, rel=0.06)


def test_what_is_known_gains_nothing() -> None:
    """A cell measured many times is not asked for again while others are unknown."""
    belief = prior_belief(POLICIES)
    for _ in range(50):
        belief = belief.after(12, 43.5, 0.4)
    chosen = next_cells(belief, WORTH, 0.4, np.ones(13), count=3)
    assert len(set(chosen)) == 3
    assert 12 not in chosen


def test_what_runs_is_not_started_twice() -> None:
    """A batch and what runs beside it never name a cell twice."""
    belief = prior_belief(POLICIES).after(12, 43.5, 0.4)
    running = tuple(next_cells(belief, WORTH, 0.4, np.ones(13), count=2))
    assert not set(running) & set(next_cells(belief, WORTH, 0.4, np.ones(13), 3, running))


def test_short_schedules_inform_and_never_count_as_full() -> None:
    """A short student narrows the belief about its cell but leaves it unmeasured."""
    belief = prior_belief(POLICIES, shorter=1).after(12, 43.5, 0.4)
    short = belief.after(13 + 3, 35.0, 0.4)
    assert short.measured == (12,)
    assert short.covariance[3, 3] < belief.covariance[3, 3]
    both = short.after(3, 41.0, 0.4)  # both schedules of one cell tell the bias of the others
    assert both.covariance[13 + 7, 13 + 7] < short.covariance[13 + 7, 13 + 7]


def test_deciding_takes_fewer_students_than_the_grid() -> None:
    """On the recorded COCO table, at its noise, under 13 students reach a regret under 0.4 AP."""
    students = Students(TRUE, 0.4, np.ones(13))
    ends = [decided(prior_belief(POLICIES), WORTH, students, Limits(0.15), n) for n in range(8)]
    whole = [listed(prior_belief(POLICIES), WORTH, students, range(13), n) for n in range(8)]
    assert np.mean([end.students for end in ends]) < 12
    assert np.mean([end.true_regret for end in ends]) < 0.4
    assert all(end.students == 13 for end in whole)
    assert np.mean([end.expected_regret for end in ends]) < 0.2


def test_hours_stop_a_campaign() -> None:
    """No student is started once the device-hours are spent."""
    students = Students(TRUE, 1.0, np.full(13, 100.0))
    end = decided(prior_belief(POLICIES), WORTH, students, Limits(0.0, 250.0), 0)
    assert end.device_hours == 300.0


def test_the_stated_regret_is_the_true_one_on_average() -> None:
    """Where truths are drawn from the belief, the regret that is promised is the regret had."""
    rng = np.random.default_rng(1)
    belief: Belief = prior_belief(POLICIES).after(12, 40.0, 0.4)
    promised = rate(belief, WORTH, 0.4, rng).regret
    truths = belief.draw(rng, 4_000)
    had = np.mean([WORTH.regret(belief.expected_ap, truth).mean() for truth in truths])
    assert promised == pytest.approx(had, rel=0.15)
