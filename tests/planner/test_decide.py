"""Deciding which cell to measure: beliefs, what plans are worth, gains, simulated campaigns."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.decide import alike_prices, listed
from omnicost.annotation import Policy
from omnicost.cost import dataset_stats, seconds_per_image
from omnicost.decide.belief import ORDER_FAILS, Belief, prior_belief, worth_no_more
from omnicost.decide.campaign import Limits, TrueScores, decided
from omnicost.decide.choose import expected_regret, gain_of, next_students
from omnicost.decide.prices import Offer, PricedStudent
from omnicost.decide.worth import plan_worth, spread_budgets
from omnicost.pareto import best_mix
from omnicost.results import paper_rows

ROWS = paper_rows("coco")
POLICIES = [row.policy for row in ROWS]
TRUE = np.array([row.ap for row in ROWS])
SECONDS = np.array([seconds_per_image(policy, dataset_stats("coco")) for policy in POLICIES])
WORTH = plan_worth(SECONDS, spread_budgets(SECONDS))
PRICES = alike_prices(np.ones(13), seeds=3)
OFFERS = [Offer(PricedStudent(cell, 0), 1.0) for cell in range(13)]
THREE_SEEDS = (0.0, 0.0, 0.0)


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
        if cell not in (low, high)
    ]
    assert len(between) == 2
    assert belief.order_fails < 0.1
    drawn = belief.draw(np.random.default_rng(0), 2_000)
    weakest, strongest = np.exp(belief.mean[[low, high]])
    inside = (drawn[:, between] > weakest - 1e-9) & (drawn[:, between] < strongest + 1e-9)
    assert (inside.mean(axis=0) > 0.9).all()
    assert (abs(belief.expected_ap[between] - (weakest + strongest) / 2) < 1.5).all()


def test_the_order_is_given_up_where_measured_cells_contradict_it() -> None:
    """Points clearly under class tags, as on Cityscapes: other cells are no longer bounded."""
    tags, points = (POLICIES.index(Policy.cell(kind, 0.0)) for kind in ("class", "point"))
    belief = prior_belief(POLICIES).after(tags, 26.4, 0.4)
    assert belief.order_fails == ORDER_FAILS
    assert belief.after(points, 27.0, 0.4).order_fails < ORDER_FAILS
    belief = belief.after(points, 22.1, 0.4)
    assert belief.order_fails > 0.99
    np.testing.assert_allclose(belief.expected_ap, np.exp(belief.mean[:13]), rtol=0.01)


def test_worth_is_the_hull() -> None:
    """The best plan at a budget is what `pareto.best_mix` says."""
    budgets = spread_budgets(SECONDS)
    expected = [best_mix(SECONDS, TRUE, budget).value for budget in budgets]
    np.testing.assert_allclose(WORTH.best(TRUE), expected, atol=1e-9)
    assert (
        WORTH.mixtures @ SECONDS
        <= np.repeat(budgets, np.diff([*WORTH.first, len(WORTH.mixtures)])) + 1e-9
    ).all()


def test_cells_that_cost_nothing_have_one_budget() -> None:
    """Where no cell has a label the only budget is none, and one cell is as cheap as another."""
    nothing = plan_worth(np.zeros(2), spread_budgets(np.zeros(2)))
    assert nothing.best(np.array([3.0, 4.0])) == [4.0]


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
    gain = gain_of(belief, WORTH, PricedStudent(cell, 0), noise_sd)
    assert gain == pytest.approx(sampled, rel=0.06)


def test_what_is_known_gains_nothing() -> None:
    """A cell measured many times is not asked for again while others are unknown."""
    belief = prior_belief(POLICIES)
    for _ in range(50):
        belief = belief.after(12, 43.5, 0.4)
    chosen = [one.offer.student for one in next_students(belief, WORTH, 0.4, OFFERS, count=3)]
    assert len(set(chosen)) == 3
    assert PricedStudent(12, 0) not in chosen


def test_what_runs_is_not_started_twice() -> None:
    """What runs counts as known: its repeat is asked for after cells that nobody asked."""
    belief = prior_belief(POLICIES, seed_sds=THREE_SEEDS).after(12, 43.5, 0.4)
    batch = [one.offer for one in next_students(belief, WORTH, 0.4, OFFERS, count=2)]
    running = [offer.student for offer in batch]
    repeats = [Offer(student._replace(seed=1), 1.0) for student in running]
    others = [offer for offer in OFFERS if offer not in batch]
    then = next_students(belief, WORTH, 0.4, [*repeats, *others], 3, running)
    cells = {student.coordinate for student in running}
    assert not cells & {one.offer.student.coordinate for one in then}


def test_short_schedules_inform_and_never_count_as_full() -> None:
    """A short student narrows the belief about its cell but leaves it unmeasured."""
    belief = prior_belief(POLICIES, shorter=[1 / 3]).after(12, 43.5, 0.4)
    short = belief.after(13 + 3, 35.0, 0.4)
    assert short.measured == (12,)
    assert short.covariance[3, 3] < belief.covariance[3, 3]
    both = short.after(3, 41.0, 0.4)  # both schedules of one cell tell the bias of the others
    assert both.covariance[13 + 7, 13 + 7] < short.covariance[13 + 7, 13 + 7]


def test_seeds_in_common_tell_cells_apart() -> None:
    """Where runs of a seed share their luck, cells of one seed differ surely and lie anywhere."""
    prior = prior_belief(POLICIES, seed_sds=(0.3, 0.3))
    same = prior.after(0, 20.0, 0.1, seed=0).after(3, 24.0, 0.1, seed=0)
    apart = prior.after(0, 20.0, 0.1, seed=0).after(3, 24.0, 0.1, seed=1)

    def sd_of_difference(belief: Belief) -> float:
        part = belief.covariance[np.ix_([0, 3], [0, 3])]
        return float(np.sqrt(part[0, 0] + part[1, 1] - 2 * part[0, 1]))

    assert sd_of_difference(same) < 0.01 < 0.2 < sd_of_difference(apart)
    assert same.covariance[0, 0] > 0.2**2


def test_what_is_shared_is_paid_once() -> None:
    """A trunk is in the price of a seed's first student and of no other."""
    prices = alike_prices(np.full(13, 0.3), seeds=2, trunk_hours=0.7)
    first = PricedStudent(4, 0)
    assert prices.of(first, frozenset()) == pytest.approx(1.0)
    paid = prices.stages[first]
    assert prices.of(PricedStudent(5, 0), paid) == pytest.approx(0.3)
    assert prices.of(PricedStudent(5, 1), paid) == pytest.approx(1.0)


def test_deciding_takes_fewer_students_than_the_grid() -> None:
    """On the recorded COCO table, at its noise, under 13 students reach a regret under 0.4 AP."""
    truth, belief = TrueScores(TRUE, 0.4), prior_belief(POLICIES, seed_sds=THREE_SEEDS)
    ends = [decided(belief, WORTH, truth, PRICES, Limits(0.15), n) for n in range(8)]
    every = [PricedStudent(cell, 0) for cell in range(13)]
    whole = [listed(belief, WORTH, truth, PRICES, every, n) for n in range(8)]
    assert np.mean([end.students for end in ends]) < 12
    assert np.mean([end.true_regret for end in ends]) < 0.4
    assert all(end.students == end.device_hours == 13 for end in whole)
    assert np.mean([end.expected_regret for end in ends]) < 0.2


def test_hours_stop_a_campaign() -> None:
    """No student is started that would take the device-hours over their limit."""
    prices = alike_prices(np.full(13, 100.0), seeds=3)
    belief = prior_belief(POLICIES, seed_sds=THREE_SEEDS)
    end = decided(belief, WORTH, TrueScores(TRUE, 1.0), prices, Limits(0.0, 250.0), 0)
    assert end.device_hours == 200.0


def test_the_stated_regret_is_the_true_one_on_average() -> None:
    """Where truths are drawn from the belief, the regret that is promised is the regret had."""
    rng = np.random.default_rng(1)
    belief: Belief = prior_belief(POLICIES).after(12, 40.0, 0.4)
    promised = expected_regret(belief, WORTH, rng)
    truths = belief.draw(rng, 4_000)
    had = np.mean([WORTH.regret(belief.expected_ap, truth).mean() for truth in truths])
    assert promised == pytest.approx(had, rel=0.15)
