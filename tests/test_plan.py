"""Whole plans: risk over common draws, confidence, limited hours, evidence, manifest, picture."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plan_cases import enumerate_whole, problems, surface
from type_axis import by_type

from omnicost.annotation import AnnotationType, Policy
from omnicost.cost import BUILT_IN, DatasetStats, LabellingTimes, draw_spend, seconds_per_image
from omnicost.errors import InputError
from omnicost.plan import (
    Plan,
    Question,
    build,
    gather,
    make_plan,
    statistics_from_rows,
)
from omnicost.plan.evidence import Evidence, untested
from omnicost.plan.linear import best_with_limits
from omnicost.plan.optimise import MASK, Problem, best_for_budget
from omnicost.plan.uncertainty import Worlds, assess
from omnicost.results import Row

COCO = BUILT_IN["coco"].with_images(20_000)
DRAWS = 200


def coco_plan(question: Question, **options: object) -> Plan:
    options = {"dataset": "coco", "draws": DRAWS, **options}
    return make_plan(question, COCO, **options)


def demo_rows(images: int = 600, **more: tuple[float, float]) -> list[Row]:
    """A small sweep's rows: 0%, 10% and 100% cells of a data set that is not built in."""
    stats = DatasetStats(
        name="mine", images=images, classes=8, classes_per_image=2.5, instances_per_image=4.0
    )
    aps = {"none": (20, 25), "class": (27, 29), "point": (24, 33), "box": (36, 41), **more}
    cells = [
        (Policy.cell(k, s), ap)
        for k, pair in aps.items()
        for s, ap in zip((0, 0.1), pair, strict=True)
    ]
    cells.append((Policy.cell("mask", 1), 45))
    rows = []
    for policy, ap in cells:
        seconds = seconds_per_image(policy, stats)
        rows.append(
            Row(dataset="mine", policy=policy, variant="demo", ap=ap, images=images,
                masks=round(images * policy.mask_share), seconds_per_image=seconds,
                hours=seconds * images / 3600)
        )  # fmt: skip
    return rows


# --- questions


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


# --- plans


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


# --- limited hours


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


# --- risk


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


# --- the rule beside the plan


@pytest.mark.parametrize(
    "question",
    [Question(700.0), Question(target=0.95), Question(700.0, confidence=0.9)],
)
def test_every_plan_carries_the_rule(question: Question) -> None:
    """What the one-line rule buys for the same money, and with what chance it is worse."""
    plan = coco_plan(question)
    assert plan.rule is not None
    assert plan.rule.images.sum() == 20_000
    budget = question.budget_hours if question.is_plain else plan.hours
    assert plan.rule.hours <= (budget or plan.hours) * (1 + 1e-6)
    assert plan.beats_rule == (plan.rule.worse >= 0.9)
    assert plan.as_dict()["rule"]["share"] == plan.rule.share


def test_a_plan_that_does_not_beat_the_rule_says_so() -> None:
    """Where nearly all images have boxes and the rest masks anyway, the chance is named."""
    plan = coco_plan(Question(1500.0))
    assert not plan.beats_rule
    same = plan.rule is not None and np.array_equal(plan.rule.images, plan.images)
    assert same or any("Not clearly better than the rule" in note for note in plan.notes)


def test_weak_evidence_keeps_to_the_rule() -> None:
    """From two other data sets alone no plan is clearly better, so the rule is the answer."""
    plan = make_plan(Question(500.0), COCO, like=["ade20k", "cityscapes"], draws=DRAWS)
    assert plan.rule is not None
    assert plan.images.tolist() == plan.rule.images.tolist()
    assert any("rule of thumb" in note for note in plan.notes)
    own = coco_plan(Question(500.0))
    assert own.rule is not None
    assert own.images.tolist() != own.rule.images.tolist()


# --- evidence


def test_one_run_a_cell_is_never_measured() -> None:
    """The grade says what the forecast rests on: two runs a cell are measured, one is not."""
    rows = demo_rows()
    stats = statistics_from_rows(rows, None, LabellingTimes())
    once = make_plan(Question(5.0), stats, rows=rows, draws=100)
    assert once.evidence.grade == "single runs"
    assert "without a repeat" in once.evidence.grounds
    again = [row.model_copy(update={"seed": 1, "ap": row.ap + 0.5}) for row in rows]
    twice = make_plan(Question(5.0), stats, rows=[*rows, *again], draws=100)
    assert twice.evidence.grade == "measured"
    assert "9 repeats" in twice.evidence.grounds


def test_no_plan_from_smoke_rows() -> None:
    """Rows of a trial run are refused; students stopped early are left out and counted."""
    rows = demo_rows()
    smoke = [row.model_copy(update={"schedule": "smoke"}) for row in rows]
    with pytest.raises(InputError, match="smoke"):
        make_plan(Question(5.0), COCO, rows=smoke, draws=100)
    stopped = rows[0].model_copy(update={"seed": 1, "truncated": True})
    plan = make_plan(Question(5.0), COCO, rows=[*rows, stopped], draws=100)
    assert any("1 students that were stopped early" in note for note in plan.notes)
    for like in (["coco", "ade20k"], ["coco", "mine"]):
        found = gather(600, np.random.default_rng(0), None, [*rows, stopped], like, draws=50)
        assert any("1 students that were stopped early" in note for note in found.notes)


def test_few_masks_are_bought_only_for_what_they_are_expected_to_be_worth() -> None:
    """Demo rows tune on 60 masks at the fewest: small budgets buy none of 1 to 20."""
    rows = demo_rows()
    stats = statistics_from_rows(rows, None, LabellingTimes())
    for budget in (3.0, 5.0, 8.0, 13.0, 21.0):
        masks = make_plan(Question(budget), stats, rows=rows, draws=100).images[MASK]
        assert masks == 0 or masks > 20


def test_own_sweep_with_two_mask_shares() -> None:
    """Rows of a data set that is not built in give statistics and a plan."""
    rows = demo_rows()
    stats = statistics_from_rows(rows, None, LabellingTimes())
    assert (stats.classes, stats.images) == (8, 600)
    assert stats.classes_per_image == pytest.approx(2.5)
    assert stats.instances_per_image == pytest.approx(4.0)
    plan = make_plan(Question(20.0), stats, rows=rows, draws=DRAWS)
    assert plan.images.sum() == 600
    assert plan.evidence.surface.full == pytest.approx(45, abs=0.7)


def test_statistics_that_rows_do_not_determine() -> None:
    """Too few kinds of policies, or other times, ask for a file instead of guessing."""
    with pytest.raises(InputError, match="annotations"):
        statistics_from_rows(demo_rows()[:2], None, LabellingTimes())


def test_like_says_weak_and_a_pilot_less_so() -> None:
    """Two references are weak evidence without an AP; a pilot brings one."""
    rng = np.random.default_rng(0)
    like = gather(5000, rng, like=["coco", "ade20k"], draws=100)
    assert like.grade == "weak"
    assert like.surface.full is None
    pilot = gather(5000, rng, rows=demo_rows()[-2:], like=["coco", "ade20k"], draws=100)
    assert pilot.grade == "moderate"
    assert pilot.surface.full == pytest.approx(45, abs=1)
    with pytest.raises(InputError, match="no students of 'lvis'"):
        gather(5000, rng, like=["coco", "lvis"])
    with pytest.raises(InputError, match="two or more"):
        gather(5000, rng, like=["coco"])


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_fewest_tested_masks_are_the_fewest(name: str) -> None:
    """1% of a data set's images; of a project like others, the fewest of any of them."""
    rng = np.random.default_rng(0)
    assert gather(1000, rng, name, draws=50).tested[0] == round(0.01 * BUILT_IN[name].images)
    like = gather(1000, rng, like=["coco", "cityscapes"], draws=50)
    assert like.tested[0] == round(0.01 * BUILT_IN["cityscapes"].images)


def test_extrapolation_is_flagged() -> None:
    """More masks than any student had, and fewer than any teacher had, are said."""
    many = make_plan(Question(9000.0), BUILT_IN["cityscapes"].with_images(30_000),
                     dataset="cityscapes", draws=100)  # fmt: skip
    assert any("Extrapolated" in note for note in many.notes)
    few = coco_plan(Question(500.0))
    assert 0 < few.images[MASK] < 1183
    assert any("under 1,183, the fewest" in note for note in few.notes)
    assert any("118,287" in note and "shares" in note for note in few.notes)


@pytest.mark.parametrize(
    ("masks", "said"),
    [(0, None), (29, "Never tried"), (30, None), (100, None), (300, None), (301, "Extrapolated")],
)
def test_masks_between_those_tested_are_no_news(masks: int, said: str | None) -> None:
    """Only fewer masks than the fewest that a teacher had, or more than the most, are said."""
    flat = surface(np.full((1, 2), 0.5), np.array([0.0, 400.0]), types=[AnnotationType.BOX])
    evidence = Evidence(flat, "measured", "", (), (30, 300), None)
    notes = untested(evidence, [AnnotationType.BOX], masks)
    assert [note.startswith(said or "") for note in notes] == [True] * (said is not None)


def test_mixing_weak_types_is_called_untested() -> None:
    """A plan with two weak types says that nobody tried that."""
    plan = coco_plan(Question(250.0))
    weak = [kind for kind in plan.policy if kind is not AnnotationType.MASK]
    assert len(weak) == 2
    assert any("untested" in note for note in plan.notes)


# --- picture


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
