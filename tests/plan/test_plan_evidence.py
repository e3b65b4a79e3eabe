"""What a plan is believed from: the rule beside it, masks tried, pilots, what nobody tested."""

import numpy as np
import pytest
from plan_cases import COCO, DRAWS, coco_plan, demo_rows, surface

from omnicost.annotation import AnnotationType
from omnicost.cost import BUILT_IN, LabellingTimes
from omnicost.errors import InputError
from omnicost.plan import (
    Question,
    gather,
    make_plan,
    statistics_from_rows,
)
from omnicost.plan.evidence import Evidence, untested
from omnicost.plan.optimise import MASK


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
