"""Whole plans: risk over common draws, confidence, limited hours, evidence, manifest, picture."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plan_cases import COCO, coco_plan, demo_rows, enumerate_whole, problems, surface
from type_axis import by_type

from omnicost.annotation import AnnotationType
from omnicost.cost import LabellingTimes, draw_spend, seconds_per_image
from omnicost.errors import InputError
from omnicost.plan import (
    Question,
    build,
    make_plan,
    statistics_from_rows,
)
from omnicost.plan.linear import best_with_limits
from omnicost.plan.optimise import MASK, Problem, best_for_budget
from omnicost.plan.uncertainty import Worlds, assess


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "neither"),
        ({"budget_hours": 1, "target": 0.9}, "both"),
        ({"budget_hours": -1}, "budget"),
        ({"budget_hours": float("inf")}, "budget"),
        ({"budget_hours": float("nan")}, "budget"),
        ({"target": 0}, "target"),
        ({"target": 1.2}, "target"),
        ({"target": float("nan")}, "target"),
        ({"budget_hours": 1, "confidence": 1.0}, "confidence"),
        ({"budget_hours": 1, "max_hours": {AnnotationType.MASK: -1}}, "max_hours"),
    ],
)
def test_bad_questions_are_refused(fields: dict, message: str) -> None:
    """A question that makes no sense is one line that names its parameter."""
    with pytest.raises(InputError, match=message):
        Question(**fields)


def test_budget_plan_is_whole_and_within() -> None:
    """All images are covered, hours fit at mean times, and the arithmetic adds up."""
    plan = coco_plan(Question(500.0))
    assert plan.images.sum() == 20_000
    assert plan.hours <= 500
    assert plan.hours > 499
    seconds = seconds_per_image(plan.policy, COCO) * 20_000
    assert seconds / 3600 == pytest.approx(plan.hours)
    low, high = plan.expectation.share_interval
    assert low < plan.expectation.share < high
    assert plan.risk.p90_hours > plan.hours
    assert 0.3 < plan.risk.over_budget < 0.6
    assert plan.risk.regret_ap >= 0
    assert plan.more is not None
    assert plan.more.share > plan.expectation.share
    assert json.loads(json.dumps(plan.as_dict(), allow_nan=False))["hours"] == plan.hours


@pytest.mark.parametrize("budget", [60.0, 300.0, 500.0, 1000.0])
def test_confidence_makes_the_quantile_fit(budget: float) -> None:
    """Under --confidence 0.9 the 90% quantile of the spend is within the budget, and close."""
    plan = coco_plan(Question(budget, confidence=0.9))
    assert plan.risk.p90_hours <= budget
    assert plan.risk.p90_hours > 0.97 * budget
    assert plan.expectation.share <= coco_plan(Question(budget)).expectation.share


def test_confidence_is_the_best_that_fits() -> None:
    """No pair of types with any number of masks on a coarse grid fits and expects more."""
    plan = coco_plan(Question(400.0, confidence=0.9))
    problem, spend = plan.problem, plan.worlds.spend
    best = 0.0
    for cheap, dear in [(0, 2), (0, 3), (1, 2), (2, 3), (0, 1)]:
        for masks in np.unique(np.geomspace(1, 3000, 25).astype(int)):
            upper = np.linspace(0, 20_000 - masks, 60).astype(int)
            images = np.zeros((60, len(AnnotationType)), int)
            images[:, MASK], images[:, dear] = masks, upper
            images[:, cheap] = 20_000 - masks - upper
            fits = np.quantile(spend.spend_seconds(images), 0.9, axis=-1) <= 400 * 3600
            if fits.any():
                best = max(best, problem.share_of_full(images[fits]).max())
    assert plan.expectation.share >= best - 2e-4


def test_ap_never_falls_as_a_real_budget_grows() -> None:
    """On the paper's COCO surface, hour by hour."""
    problem = coco_plan(Question(500.0)).problem
    budgets = np.geomspace(1, 5000, 60) * 3600
    shares = [float(problem.share_of_full(best_for_budget(problem, b))) for b in budgets]
    assert (np.diff(shares) >= 0).all()


def test_over_the_dearest_leaves_money_and_says_nothing_more_to_buy() -> None:
    """Ten times the cost of all masks buys all masks."""
    plan = coco_plan(Question(40_000.0))
    assert plan.images.tolist() == by_type(0, 0, 0, 0, 20_000).tolist()
    assert plan.expectation.share == pytest.approx(1)
    assert plan.more is None
    assert plan.risk.over_budget == 0


def test_no_money_buys_what_is_free() -> None:
    """A budget of 0 leaves every image alone."""
    plan = coco_plan(Question(0.0))
    assert plan.images.tolist() == by_type(20_000, 0, 0, 0, 0).tolist()
    assert plan.hours == 0


def test_target_plan_reaches_it() -> None:
    """The cheapest plan for 95% expects 95%, and runners-up cost more."""
    plan = coco_plan(Question(target=0.95))
    assert plan.expectation.share == pytest.approx(0.95, abs=2e-4)
    assert all(other.hours > plan.hours * 0.999 for other in plan.runners_up)
    assert 0.2 < plan.risk.short_of_target < 0.8


def test_types_restrict() -> None:
    """Only what annotators can do is planned; unmeasured types are refused by name."""
    box = AnnotationType.BOX
    plan = coco_plan(Question(500.0), types=[box])
    assert set(np.flatnonzero(plan.images)) <= {0, box.strength}
    rows = [row for row in demo_rows() if row.weak_type is not box]
    with pytest.raises(InputError, match="box: no student"):
        make_plan(Question(5.0), COCO, rows=rows, types=[box], draws=100)


def test_scribbles_are_planned_where_they_were_measured() -> None:
    """Rows that name them make them a type like any other; without such rows nothing says so."""
    rows = demo_rows()
    stats = statistics_from_rows(rows, None, LabellingTimes())
    question = Question(seconds_per_image(AnnotationType.SCRIBBLE, stats) * 600 / 3600)
    named = make_plan(question, stats, rows=demo_rows(scribble=(43, 44)), draws=100)
    images = named.as_dict()["images"]
    assert list(images) == list(AnnotationType)
    assert images["scribble"] > 300
    assert "scribble" not in make_plan(question, stats, rows=rows, draws=100).as_dict()["images"]


def test_few_images_and_one() -> None:
    """Tiny projects have plans too."""
    for images in (1, 2, 7):
        plan = make_plan(Question(0.05), COCO.with_images(images), dataset="coco", draws=100)
        assert plan.images.sum() == images
        assert plan.hours <= 0.05


def test_runners_up_are_of_other_kinds_and_no_better() -> None:
    """Runners-up differ from the plan in their types and expect no more for the money."""
    plan = coco_plan(Question(800.0))
    assert plan.runners_up
    for other in plan.runners_up:
        assert other.share <= plan.expectation.share + 2e-4
        assert other.hours <= 800
        assert not np.array_equal(other.images, plan.images)


def test_the_same_seed_gives_the_same_plan() -> None:
    """Plans are reproducible, and a seed only moves the draws."""
    one, same, other = (coco_plan(Question(500.0), seed=seed) for seed in (0, 0, 1))
    assert one.as_dict() == same.as_dict()
    assert one.risk != other.risk


@settings(max_examples=15, deadline=None)
@given(problems(most_images=6), st.data())
def test_limited_hours_equal_enumeration(problem: Problem, data: st.DataObject) -> None:
    """With hours limited by type, whole images lose at most one against every division."""
    kinds = [*problem.surface.types, *([AnnotationType.MASK] if problem.masks_allowed else [])]
    budget = data.draw(st.integers(0, 600)) * 1.0
    limits = {kind: data.draw(st.integers(0, 300)) / 3600 for kind in kinds[:2]}
    everything = enumerate_whole(problem)
    fits = problem.cost(everything) <= budget
    for kind, hours in limits.items():
        fits &= everything[:, kind.strength] * problem.seconds[kind.strength] <= hours * 3600 + 1e-6
    if not fits.any():
        with pytest.raises(InputError, match="max_hours"):
            best_with_limits(problem, limits, budget)
        return
    try:
        images = best_with_limits(problem, limits, budget)
    except InputError:
        pytest.fail("a division fits")
    assert images.sum() == problem.images
    assert problem.cost(images) <= budget + 1e-6
    best = problem.share_of_full(everything[fits]).max()
    assert problem.share_of_full(images) >= best - 2 / problem.images - 1e-6


def test_limited_masks_are_kept() -> None:
    """At most 100 h of masks go into the plan, which expects less; p90 is used up."""
    limits = {AnnotationType.MASK: 100.0}
    free, limited = coco_plan(Question(1500.0)), coco_plan(Question(1500.0, max_hours=limits))
    masks = limited.images[MASK] * limited.problem.seconds[MASK] / 3600
    assert masks <= 100 < free.images[MASK] * free.problem.seconds[MASK] / 3600
    assert limited.expectation.share < free.expectation.share
    for budget, hours in ((1000.0, 100.0), (500.0, 50.0)):
        limits = {AnnotationType.MASK: hours}
        both = coco_plan(Question(budget, confidence=0.9, max_hours=limits))
        assert 0.998 * budget < both.risk.p90_hours <= budget


def test_limits_that_do_not_bind_change_nothing() -> None:
    """More hours than the plan takes are no limit: the same plan, sure or not."""
    for confidence in (None, 0.9):
        free = Question(880.0, confidence=confidence)
        loose = Question(880.0, confidence=confidence, max_hours={AnnotationType.MASK: 1e6})
        assert coco_plan(loose).images.tolist() == coco_plan(free).images.tolist()


def test_masks_in_hand_are_no_hours_of_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Regret is told against every number of masks that the hours left allow."""
    held = by_type(0, 0, 0, 0, 2000).astype(np.int64)
    question = Question(200.0, max_hours={AnnotationType.MASK: 10.0})
    plan = coco_plan(question, in_hand=held)
    tried: list[np.ndarray] = []
    monkeypatch.setattr(build, "assess", lambda *given: tried.append(given[-1]))
    build._risk(question, plan.worlds, np.zeros_like(plan.images))
    assert 1900 < tried[0].max() <= 2000 + 10 * 3600 / plan.problem.seconds[MASK]


def test_no_uncertainty_no_regret() -> None:
    """Where all draws agree with the mean, the plan is the best of every draw."""
    times = LabellingTimes.from_mapping(
        {
            **{name: {"seconds": s, "log_sd": 0} for name, s in
               {"tag": 1, "point_first": 2.4, "point_further": 0.9, "box": 7, "mask": 79}.items()},
            "project_log_sd": {"class": 0, "point": 0, "box": 0, "mask": 0},
        }
    )  # fmt: skip
    stats = COCO.with_images(300)
    flat = surface(np.array([[0.2, 0.3], [0.5, 0.6], [0.7, 0.8], [0.8, 0.9]]), np.array([0.0, 300]))
    seconds = by_type(0, 80, 88.7, 130.4, 684.8)
    problem = Problem(300, seconds, flat)
    spend = draw_spend(stats, times, np.random.default_rng(0), 3)
    problem = Problem(300, spend.type_seconds[0], flat)
    worlds = Worlds(problem, spend)
    images = best_for_budget(problem, 40_000.0)
    risk = assess(worlds, images, 40_000.0, None, problem.masks())
    # What is left of regret is the rounding to whole images.
    assert risk.regret_ap < 40 / 300
    assert risk.over_budget == 0
    assert risk.close_to_best == 1


def test_picture_shows_the_front_over_every_type(tmp_path: Path) -> None:
    """The front is nowhere under a type's line, rises, and its numbers are written beside it."""
    from omnicost.plot.plan import compute_plan_info, plot_plan

    plan = coco_plan(Question(500.0))
    info = compute_plan_info(plan)
    assert (np.diff(info.best.percent) >= -1e-9).all()
    for curve in info.types.values():
        inside = curve.hours >= info.best.hours[0]
        front = np.interp(curve.hours[inside], info.best.hours, info.best.percent)
        assert (curve.percent[inside] <= front + 0.1).all()
    picture, table = plot_plan(plan, tmp_path / "plan.svg")
    assert "budget 500 h" in picture.read_text()
    assert table.read_text().startswith("line,masks,hours,percent")
    with pytest.raises(InputError, match="format"):
        plot_plan(plan, tmp_path / "plan.bmp")


def test_a_target_under_confidence_is_reached_so_often() -> None:
    """It costs more than one that is only expected, and no more than it takes."""
    expected = coco_plan(Question(target=0.93))
    sure = coco_plan(Question(target=0.93, confidence=0.9))
    assert sure.risk.short_of_target <= 0.1 < expected.risk.short_of_target
    assert sure.risk.short_of_target > 0.05
    assert sure.hours > expected.hours
    everything = coco_plan(Question(target=1.0, confidence=0.99))
    assert everything.images[MASK] == COCO.images
    with pytest.raises(InputError, match="not reached with 95%"):
        coco_plan(Question(target=0.87, confidence=0.95), types=[AnnotationType.CLASS])
