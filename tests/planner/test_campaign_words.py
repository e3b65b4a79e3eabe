"""What a manager reads: figures with the decimals they need, reasons that are true."""

from dataclasses import replace

import pytest

from omnicost.annotation import AnnotationType
from omnicost.campaign import words
from omnicost.campaign.report import PlanReport
from omnicost.cost import BUILT_IN, Overheads
from omnicost.plan import Plan, Question, make_plan
from omnicost.plan.optimise import MASK

COCO = BUILT_IN["coco"].with_images(2_000)


def coco_plan(question: Question, **options: object) -> Plan:
    return make_plan(question, COCO, dataset="coco", draws=100, **options)


def lines(plan: Plan) -> dict[str, str]:
    """Every line of the outlook by its name, continuation lines joined."""
    found: dict[str, str] = {}
    name = ""
    for label, text in words.outlook(PlanReport(plan, plan.question)):
        name = label or name
        found[name] = f"{found.get(name, '')} {text}".strip()
    return found


@pytest.mark.parametrize(
    ("hours", "shown"),
    [(500.4, "500 h"), (12.34, "12.3 h"), (3.0, "3 h"), (0.347, "0.35 h"), (0.02, "0.02 h"),
     (12_345.6, "12,346 h"), (0, "0 h")],
)  # fmt: skip
def test_hours_have_the_decimals_that_they_need(hours: float, shown: str) -> None:
    """A plan of twenty minutes is not 0 h, and one of months has no tenths."""
    assert words.hours_text(hours) == shown


def test_what_is_certain_has_no_range() -> None:
    """Short intervals are in days; ends that print alike are one; all images are 100%."""
    assert words.weeks_range(0.58, 0.62) == "2.9 to 3.1 working days"
    assert words.weeks_range(0.6, 0.601) == "3.0 working days"
    assert words.weeks_range(1.5, 3.0) == "1.5 to 3.0 weeks"
    assert [words.percent(share) for share in (0, 0.0004, 0.5, 1)] == [
        "0%",
        "0.04%",
        "50.0%",
        "100%",
    ]


def test_full_supervision_is_full() -> None:
    """Never over 100%, and said in words where every image has masks."""
    assert words.full_percent(1.013) == "100.0%"
    everything = coco_plan(Question(100_000.0))
    assert lines(everything)["Expect"].startswith("full supervision: every image has masks")
    assert "every image has masks" in lines(everything)["Spend"]
    assert lines(everything)["10% more"] == "would buy nothing"


def test_why_money_is_left_is_true() -> None:
    """Too little for one more image, nothing worth more, limits, or a quantile that must fit."""
    boxes = coco_plan(Question(5_000.0), types=[AnnotationType.BOX])
    assert "nothing allowed is worth more" in lines(boxes)["Spend"]
    limited = coco_plan(Question(5_000.0, max_hours={AnnotationType.MASK: 1.0}))
    assert "the limits on hours allow" in lines(limited)["Spend"]
    kept = coco_plan(Question(100.0, confidence=0.9))
    assert "90% quantile of the spend must fit" in lines(kept)["Spend"]
    three = BUILT_IN["coco"].with_images(3)
    weak = [AnnotationType.POINT, AnnotationType.BOX]
    few = make_plan(Question(0.1), three, dataset="coco", draws=100, types=weak)
    left = few.question.budget_seconds - float(few.problem.cost(few.images))
    assert "too little to give one more image" in lines(few)["Spend"]
    assert min(words._upgrades(few)) > left


def test_a_target_is_no_promise() -> None:
    """About every other such plan misses; the line says so, and what to ask instead."""
    expected = lines(coco_plan(Question(target=0.95)))["Target"]
    assert "missed with" in expected
    assert "confidence" in expected
    assert "confidence" not in lines(coco_plan(Question(target=0.95, confidence=0.8)))["Target"]


def test_runners_up_can_be_told_apart() -> None:
    """Plans that print alike are shown once, and never beside themselves."""
    plan = coco_plan(Question(60.0))
    same = plan.runners_up[0]._replace(images=plan.images)
    doubled = replace(plan, runners_up=(same, *plan.runners_up, plan.runners_up[0]))
    shown = [row[0] for row in words.runner_up_rows(PlanReport(doubled, doubled.question))]
    assert len(shown) == len(set(shown))
    assert words.described(plan.images) not in shown


def test_set_up_is_in_every_figure_of_hours() -> None:
    """Rows add up to what is spent; other plans pay for the set-up of their own types."""
    from omnicost.campaign.bill import bill_of

    overheads = dict.fromkeys(AnnotationType, Overheads())
    overheads[AnnotationType.MASK] = Overheads(setup_hours=16)
    plan = coco_plan(Question(300.0), overheads=overheads)
    report = PlanReport(plan, plan.question, bill=bill_of(plan, overheads))
    *rows, total = words.allocation_rows(report)
    assert rows[-1] == ["set-up", "", "", "", "16.0"]
    assert sum(float(row[4]) for row in rows) == pytest.approx(float(total[4]), abs=0.2)
    for text, hours, *_ in words.runner_up_rows(report):
        own = next(one for one in plan.runners_up if words.described(one.images) == text)
        assert float(hours) == pytest.approx(own.hours + 16 * ("mask" in text), abs=0.6)


def test_text_models_are_named_where_they_matter() -> None:
    """Types whose masks come from class names in words say what that rests on."""

    def cautions(plan: Plan) -> str:
        return " ".join(words.cautions(PlanReport(plan, plan.question)))

    assert "class names in words" in cautions(coco_plan(Question(30.0)))
    boxes = coco_plan(Question(400.0), types=[AnnotationType.BOX, AnnotationType.MASK])
    assert not boxes.images[: AnnotationType.POINT.strength].any()
    assert "class names in words" not in cautions(boxes)


def test_untried_masks_stand_among_the_cautions() -> None:
    """The README's example buys fewer masks than any teacher was tuned on, and says so."""
    stats = BUILT_IN["coco"].with_images(20_000)
    plan = make_plan(Question(373.0), stats, dataset="coco", draws=100)
    assert 0 < plan.images[MASK] < plan.evidence.tested[0]
    told = list(words.cautions(PlanReport(plan, plan.question)))
    assert any(line.startswith("Never tried") for line in told)
    assert not any(line in told for line in words.grounds(PlanReport(plan, plan.question)))


def test_shares_that_differ_between_types_are_a_range() -> None:
    """And what somebody gave is not called assumed."""
    from omnicost.campaign.bill import bill_of

    overheads = dict.fromkeys(AnnotationType, Overheads().given(rework=0.0, idle=0.0))
    overheads[AnnotationType.MASK] = Overheads(review=0.4, rework=0, idle=0, known=("rework",))
    plan = coco_plan(Question(400.0), overheads=overheads)
    line = words.overheads_line(bill_of(plan, overheads))
    assert "review 15% to 40% of labelling" in line
    assert "(review, idle: assumed)" in line
