"""How far costs spread: over images, annotators, projects, and paid time."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnicost.annotation import PAPER_TYPES, AnnotationType, Policy
from omnicost.cost import (
    BUILT_IN,
    ORDER,
    DatasetStats,
    LabellingTimes,
    Overheads,
    draw_spend,
    draw_type_seconds,
    image_variance,
    interval,
    price,
    type_seconds,
    with_overheads,
)

TIMES = LabellingTimes()
MASK = AnnotationType.MASK.strength


def allocation(**images: int) -> np.ndarray:
    """Images per type, (T,)."""
    return np.array([images.get(kind, 0) for kind in ORDER])


def test_single_image_variance_by_simulation() -> None:
    """The variance of one image's seconds matches images drawn annotation by annotation."""
    stats = DatasetStats(name="s", images=10, classes=1, classes_per_image=1, instances_per_image=4)
    rng = np.random.default_rng(0)
    sd = TIMES.box.log_sd
    drawn = 7.0 * rng.lognormal(-(sd**2) / 2, sd, size=(200_000, 4)).sum(axis=1)
    assert image_variance(stats)[AnnotationType.BOX.strength] == pytest.approx(
        drawn.var(), rel=0.03
    )
    assert drawn.mean() == pytest.approx(28, rel=0.01)


def test_image_variance_adds_the_spread_over_images() -> None:
    """Images that hold different numbers of instances spread more, by slope squared."""
    plain = BUILT_IN["coco"]
    spread = plain.model_copy(update={"instances_sd": 5.0})
    gained = image_variance(spread) - image_variance(plain)
    slopes = {"point": 0.9, "box": 7, "mask": 79}
    for kind in PAPER_TYPES:
        assert gained[kind.strength] == pytest.approx(25 * slopes.get(kind, 0) ** 2)


def test_draws_have_the_plain_cost_as_mean() -> None:
    """Factors have mean 1, so averages over draws return Table 1."""
    draws = draw_type_seconds(BUILT_IN["coco"], TIMES, np.random.default_rng(1), 200_000)
    assert draws.shape == (200_000, len(ORDER))
    np.testing.assert_allclose(draws.mean(axis=0), type_seconds(BUILT_IN["coco"]), rtol=0.01)


def test_project_factors_have_the_stated_spread_and_correlation() -> None:
    """Log factors of class and of the others have sd 0.3 and correlate by 0.5."""
    stats = DatasetStats(name="s", images=1, classes=1, classes_per_image=1, instances_per_image=1)
    logs = np.log(draw_type_seconds(stats, TIMES, np.random.default_rng(2), 100_000)[:, 1:])
    np.testing.assert_allclose(logs.std(axis=0), 0.3, rtol=0.02)
    others = ~np.eye(logs.shape[1], dtype=bool)
    np.testing.assert_allclose(np.corrcoef(logs.T)[others], 0.5, atol=0.02)


def test_no_spread_means_the_plain_cost_in_every_draw() -> None:
    """With all spreads 0, each draw is the mean."""
    none = dict.fromkeys(set(ORDER) - {AnnotationType.NONE}, 0)
    times = LabellingTimes.from_mapping({"project_log_sd": none})
    draws = draw_type_seconds(BUILT_IN["coco"], times, np.random.default_rng(0), 7)
    np.testing.assert_allclose(draws, np.tile(type_seconds(BUILT_IN["coco"]), (7, 1)))


def test_spend_has_the_plain_cost_as_mean() -> None:
    """The factor of single images has mean 1 too, also where there are few of them."""
    draws = draw_spend(BUILT_IN["coco"], TIMES, np.random.default_rng(4), 200_000)
    images = allocation(point=1, mask=1)
    expected = images @ type_seconds(BUILT_IN["coco"])
    assert draws.spend_seconds(images).mean() == pytest.approx(expected, rel=0.01)


def test_project_factors_are_centred_on_the_log() -> None:
    """Half of the draws of a type lie under its cost divided by exp(sd^2 / 2)."""
    draws = draw_type_seconds(BUILT_IN["coco"], TIMES, np.random.default_rng(5), 100_000)
    centre = type_seconds(BUILT_IN["coco"])[1] * np.exp(-(0.3**2) / 2)
    assert np.median(draws[:, 1]) == pytest.approx(centre, rel=0.01)


def test_a_larger_spread_of_one_type_moves_no_other_draw() -> None:
    """Each type's factor has draws of its own, whatever else is drawn."""
    wide = LabellingTimes.from_mapping({"project_log_sd": {"box": 0.9}})
    plain, other = (
        draw_type_seconds(BUILT_IN["coco"], times, np.random.default_rng(6), 50)
        for times in (TIMES, wide)
    )
    box = AnnotationType.BOX.strength
    np.testing.assert_array_equal(np.delete(plain, box, 1), np.delete(other, box, 1))
    assert not np.allclose(plain[:, box], other[:, box])


def test_annotation_spread_averages_out() -> None:
    """Without a project factor, the relative spread of the spend shrinks as 1/sqrt(images)."""
    none = dict.fromkeys(set(ORDER) - {AnnotationType.NONE}, 0)
    times = LabellingTimes.from_mapping({"project_log_sd": none})
    draws = draw_spend(BUILT_IN["coco"], times, np.random.default_rng(0), 20_000)
    few, many = (draws.spend_seconds(allocation(box=n)) for n in (100, 10_000))
    assert few.mean() == pytest.approx(100 * 130.4, rel=0.01)
    ratio = (few.std() / few.mean()) / (many.std() / many.mean())
    assert ratio == pytest.approx(10, rel=0.03)


@given(st.lists(st.integers(0, 10_000), min_size=len(ORDER), max_size=len(ORDER)))
def test_spend_is_positive_and_broadcasts(images: list[int]) -> None:
    """Spend of many allocations is that of each one, under the same draws; never negative."""
    draws = draw_spend(BUILT_IN["coco"], TIMES, np.random.default_rng(3), 50)
    pair = np.array([images, np.ones(len(ORDER))])
    both = draws.spend_seconds(pair)
    assert both.shape == (2, 50)
    assert (both >= 0).all()
    np.testing.assert_array_equal(both[0], draws.spend_seconds(pair[0]))


def test_statistics_of_a_sample_spread_the_draws() -> None:
    """c and n counted on few images are uncertain for more images than those."""
    none = dict.fromkeys(set(ORDER) - {AnnotationType.NONE}, 0)
    times = LabellingTimes.from_mapping({"project_log_sd": none})
    sample = BUILT_IN["coco"].model_copy(
        update={"images": 100, "classes_sd": 2.0, "instances_sd": 8.0, "correlation": 0.6}
    )
    same = draw_type_seconds(sample.with_images(100), times, np.random.default_rng(0), 20_000)
    more = draw_type_seconds(sample.with_images(5000), times, np.random.default_rng(0), 20_000)
    assert same[:, MASK].std() == pytest.approx(0, abs=1e-9)
    # The slopes on c and n are -1 and 79; the errors of both means are a tenth of their spreads.
    expected = np.sqrt(0.2**2 + (79 * 0.8) ** 2 - 2 * 79 * 0.2 * 0.8 * 0.6)
    assert more[:, MASK].std() == pytest.approx(expected, rel=0.03)
    assert more[:, MASK].mean() == pytest.approx(684.8, rel=0.01)


def test_interval_holds_its_share() -> None:
    """An 80% interval leaves a tenth on each side."""
    low, high = interval(np.arange(1001.0), 0.8)
    assert (low, high) == (pytest.approx(100), pytest.approx(900))


def test_price_intervals_are_of_common_draws() -> None:
    """Masks save exactly 1x in every draw; a price surrounds its mean."""
    policies = [Policy.parse(text) for text in ("none=1", "mask=1", "mask=0.1,point=0.9")]
    free, full, mixed = price(policies, BUILT_IN["coco"])
    assert full.saving_interval == (1.0, 1.0)
    assert free.hours == 0
    assert free.saving == np.inf
    assert mixed.hours_interval.low < mixed.hours < mixed.hours_interval.high
    assert mixed.hours == pytest.approx(118_287 * 148.292 / 3600, rel=1e-6)


shares = st.floats(0, 0.8)


@given(shares, shares, shares, st.integers(0, 5))
def test_draws_of_paid_time_average_to_the_factor(
    review: float, rework: float, idle: float, seed: int
) -> None:
    """Whatever the shares, known or assumed, means are kept and nothing turns negative."""
    overheads = dict.fromkeys(AnnotationType, Overheads().given(review=review))
    overheads[AnnotationType.BOX] = Overheads(review=review, rework=rework, idle=idle)
    spend = draw_spend(BUILT_IN["coco"], LabellingTimes(), np.random.default_rng(seed), 400)
    still = replace(spend, type_seconds=np.ones_like(spend.type_seconds))
    paid = with_overheads(still, overheads, np.random.default_rng(seed))
    expected = np.array([1.0 if k is AnnotationType.NONE else overheads[k].factor
                         for k in AnnotationType])  # fmt: skip
    assert paid.type_seconds.mean(0) == pytest.approx(expected)
    assert (paid.type_seconds > 0).all()


def test_known_shares_are_surer_than_assumed_ones() -> None:
    """The same shares spread less once somebody has measured or given them."""
    assumed, known = Overheads(), Overheads().given(review=0.15, rework=0.05, idle=0.1)
    assert known.factor == assumed.factor == pytest.approx(1.05 * 1.15 / 0.9)
    spend = draw_spend(BUILT_IN["coco"], LabellingTimes(), np.random.default_rng(0), 2000)
    still = replace(spend, type_seconds=np.ones_like(spend.type_seconds))
    sds = [
        with_overheads(still, dict.fromkeys(AnnotationType, one), np.random.default_rng(0))
        .type_seconds[:, 3].std()
        for one in (assumed, known)
    ]  # fmt: skip
    assert sds[1] < 0.5 * sds[0]
    assert with_overheads(spend, None, np.random.default_rng(0)) is spend
