"""The scatter of runs: what repeats, other data sets and the schedule say."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import softmax

from omnicost.forecast.model import forecast
from omnicost.forecast.observations import Observations, observe
from omnicost.forecast.prior import learn_shape
from omnicost.forecast.spread import (
    COMMON,
    OWN,
    expected_sd,
    log_weights,
    repeats_log_likelihood,
)
from omnicost.results import PUBLISHED, paper_rows


def runs(sd: float, seeds: int, schedule: str = "short", common: float = 0.0) -> Observations:
    """Cells of COCO run so many times, scattering by `sd`, partly all of a seed together."""
    rng = np.random.default_rng(5)
    rows = []
    for seed in range(seeds):
        shift = np.sqrt(common) * sd * rng.standard_normal()
        for row in paper_rows("coco"):
            noise = shift + np.sqrt(1 - common) * sd * rng.standard_normal()
            ap = min(max(row.ap + noise, 0), 100)
            rows.append(row.model_copy(update={"seed": seed, "ap": ap, "schedule": schedule}))
    return observe(rows)


@pytest.mark.parametrize("sd", [0.3, 1.0, 3.0])
def test_repeats_find_the_scatter(sd: float) -> None:
    """Three runs of 13 cells tell a run's own within a third; what three seeds share, roughly."""
    weight = softmax(log_weights(runs(sd, 3)))
    assert np.sqrt((weight.sum(axis=1) * OWN**2).sum()) == pytest.approx(sd, rel=0.35)
    assert 0.8 * sd < expected_sd(runs(sd, 3)) < 2.2 * sd


def test_one_run_tells_nothing() -> None:
    """Without repeats the weights are the prior's, wide where nobody published the schedule."""
    once = runs(3.0, 1)
    assert (repeats_log_likelihood(once) == 0).all()
    assert expected_sd(once) == expected_sd(runs(0.3, 1))
    assert expected_sd(once) > 3 * expected_sd(replace(once, schedule=PUBLISHED))


def test_other_data_sets_count_where_they_share_the_schedule() -> None:
    """Repeats elsewhere move the scatter towards theirs, unless the schedule is another."""
    once, steady = runs(0.3, 1), replace(runs(0.3, 4), dataset="other")
    assert expected_sd(once, [steady]) < 0.5 * expected_sd(once)
    other = replace(steady, schedule="long")
    assert expected_sd(once, [other]) == expected_sd(once)


def test_an_effect_common_to_a_seed_is_seen() -> None:
    """Seeds that move all cells together weigh for a large common effect, others against."""
    together, alone = (log_weights(runs(2.0, 5, common=c)) for c in (0.8, 0.0))
    assert together.shape == (len(OWN), len(COMMON))
    large = [softmax(one).sum(axis=0)[COMMON > 1].sum() for one in (together, alone)]
    assert large[0] > 0.9
    assert large[1] < 0.2


def test_a_steady_table_of_one_seed_says_nothing_of_the_next() -> None:
    """Rows of one seed on the recorded curve: another seed may lie far off all the same."""
    rng = np.random.default_rng(0)
    once = runs(0.0, 1)
    drawn = forecast(once, learn_shape([]), np.array([0]), np.array([0.0]), rng, 2000)
    assert drawn.run.std() > 1
