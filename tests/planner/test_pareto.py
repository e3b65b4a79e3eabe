"""Dominance, front, hull and mixtures: closed forms and laws."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from omnicost import pareto
from omnicost.errors import InputError

COST = np.array([1.0, 2.0, 3.0, 4.0, 4.0])
VALUE = np.array([1.0, 3.0, 2.0, 4.0, 3.5])


def points(most: int = 8) -> st.SearchStrategy[tuple[np.ndarray, np.ndarray]]:
    """Points on a coarse lattice, so that ties are common."""
    coordinates = st.integers(0, 6).map(float)
    return st.integers(1, most).flatmap(
        lambda n: st.tuples(
            arrays(float, n, elements=coordinates), arrays(float, n, elements=coordinates)
        )
    )


def test_closed_form() -> None:
    """Five points by hand: what is dominated, the front, the hull and the area."""
    assert pareto.is_dominated(COST, VALUE).tolist() == [False, False, True, False, True]
    assert pareto.front(COST, VALUE).tolist() == [0, 1, 3]
    assert pareto.hull(COST, VALUE).tolist() == [0, 1, 3]


def test_mixture_by_hand() -> None:
    """Half of a point that costs 2 and half of one that costs 4 are worth the middle."""
    mix = pareto.best_mix(COST, VALUE, 3.0)
    assert (mix.value, mix.cheap, mix.dear, mix.weight) == (3.5, 1, 3, 0.5)
    assert pareto.best_mix(COST, VALUE, 0.5).value == -np.inf
    assert pareto.best_mix(COST, VALUE, 99.0).value == 4.0


@given(points())
def test_dominance_is_its_definition(data: tuple[np.ndarray, np.ndarray]) -> None:
    """It equals the comparison of every point with every other, one by one."""
    cost, value = data
    count = len(cost)
    naive = [
        any(
            cost[j] <= cost[i]
            and value[j] >= value[i]
            and (cost[j] < cost[i] or value[j] > value[i])
            for j in range(count)
        )
        for i in range(count)
    ]
    assert pareto.is_dominated(cost, value).tolist() == naive


@given(points(), points())
def test_dominance_over_leading_axes(
    one: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray]
) -> None:
    """Rows are judged apart from each other."""
    count = min(len(one[0]), len(other[0]))
    cost = np.stack([one[0][:count], other[0][:count]])
    value = np.stack([one[1][:count], other[1][:count]])
    stacked = pareto.is_dominated(cost, value)
    for row in range(2):
        assert (stacked[row] == pareto.is_dominated(cost[row], value[row])).all()


@given(points(), st.floats(0, 8))
def test_best_mix_is_the_hull(data: tuple[np.ndarray, np.ndarray], budget: float) -> None:
    """Looking at every pair gives the height of the monotone chain."""
    cost, value = data
    corners = pareto.hull(cost, value)
    mix = pareto.best_mix(cost, value, budget)
    if budget < cost.min():
        assert mix.value == -np.inf
    else:
        assert mix.value == pytest.approx(
            np.interp(budget, cost[corners], value[corners]), abs=1e-9
        )
        spent = (1 - mix.weight) * cost[mix.cheap] + mix.weight * cost[mix.dear]
        assert spent <= budget + 1e-9


@given(points())
def test_hull_is_concave_and_over_every_point(data: tuple[np.ndarray, np.ndarray]) -> None:
    """Slopes fall along the hull, and no point lies above it."""
    cost, value = data
    corners = pareto.hull(cost, value)
    slopes = np.diff(value[corners]) / np.diff(cost[corners])
    assert (np.diff(slopes) < 1e-12).all()
    assert (slopes > 0).all()
    assert (value <= np.interp(cost, cost[corners], value[corners]) + 1e-9).all()


@pytest.mark.parametrize(
    ("cost", "value"),
    [([], []), ([1.0], [1.0, 2.0]), ([np.nan], [1.0]), ([1.0], [np.nan])],
)
def test_bad_points_are_refused(cost: list[float], value: list[float]) -> None:
    """No points, unequal numbers of them and NaN are one-line errors."""
    with pytest.raises(InputError):
        pareto.front(np.array(cost), np.array(value))
