"""The whole bill and the calendar: laws that they keep, and the promises that they hold."""

import heapq
from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omnicost.annotation import AnnotationType
from omnicost.campaign.bill import bill_of, plan_with_setup, setup_hours
from omnicost.campaign.calendar import simulate
from omnicost.campaign.days import slowness
from omnicost.campaign.team import Team
from omnicost.cost import BUILT_IN, LabellingTimes, Overheads, draw_spend
from omnicost.cost.overheads import draw_shares
from omnicost.cost.times import Learning
from omnicost.errors import InputError
from omnicost.plan import Plan, Question, make_plan

COCO = BUILT_IN["coco"].with_images(5_000)
ASSUMED = dict.fromkeys(AnnotationType, Overheads())
EXACT_TIMES = LabellingTimes.from_mapping(
    {
        **{
            name: {"seconds": seconds, "log_sd": 0}
            for name, seconds in [("tag", 1), ("point_first", 2.4), ("point_further", 0.9),
                                  ("box", 7), ("mask", 79)]
        },
        "project_log_sd": dict.fromkeys(("class", "point", "box", "mask"), 0),
    }
)  # fmt: skip


def coco_plan(hours: float = 200.0, overheads: object = ASSUMED, **options: object) -> Plan:
    options = {"dataset": "coco", "draws": 300, **options}
    return make_plan(Question(hours), COCO, overheads=overheads, **options)


PLAN = coco_plan()
EXACT_PLAN = coco_plan(times=EXACT_TIMES)


def exact(review: float = 0.0, rework: float = 0.0, idle: float = 0.0, setup: float = 0.0) -> dict:
    """Overheads that are as given in every draw, nearly."""
    one = Overheads(review=review, rework=rework, idle=idle, setup_hours=setup)
    return dict.fromkeys(AnnotationType, one)


# --- bill


def test_the_bill_s_lines_add_up_to_the_plan_s_hours() -> None:
    """Labelling, review, rework and idle time are all of what the budget pays."""
    bill = bill_of(PLAN, ASSUMED)
    assert bill.hours == pytest.approx(PLAN.hours)
    assert bill.total().hours == pytest.approx(bill.hours)
    assert PLAN.hours <= 200
    for line in bill.lines:
        seconds = 3600 * line.labelling / line.images
        paid = PLAN.problem.seconds[line.annotation.strength]
        assert seconds * Overheads().factor == pytest.approx(paid)
        assert line.idle == pytest.approx(0.1 * (line.hours - line.setup))
    assert bill.assumed() == ("review", "rework", "idle")


def test_set_up_comes_off_the_budget() -> None:
    """Plan and set-up fit together; set-up of types that are not used costs nothing."""
    overheads = {kind: Overheads(setup_hours=20) for kind in AnnotationType}

    def make(question: Question) -> Plan:
        return make_plan(question, COCO, dataset="coco", overheads=overheads, draws=100)

    plan = plan_with_setup(Question(200.0), make, overheads)
    bill = bill_of(plan, overheads)
    assert bill.setup_hours == 20 * len(bill.lines)
    assert bill.hours <= 200
    with pytest.raises(InputError, match="set-up"):
        plan_with_setup(Question(10.0), make, overheads)


def test_images_without_a_label_need_no_set_up() -> None:
    """`--setup` gives its hours to every type, `none` among them; nobody is trained for none."""
    overheads = {kind: Overheads(setup_hours=8) for kind in AnnotationType}
    images = np.eye(len(AnnotationType), dtype=int)
    assert setup_hours(images[AnnotationType.NONE.strength], overheads) == 0
    assert setup_hours(images[AnnotationType.BOX.strength], overheads) == 8


def test_the_p90_of_spend_holds_what_is_really_paid() -> None:
    """With review, rework and idle time about 90% of projects stay under it; without, far fewer."""
    rng = np.random.default_rng(5)
    spend = draw_spend(COCO, LabellingTimes(), rng, 4000)
    review, rework, idle = draw_shares(ASSUMED, 4000, rng)
    paid = spend.type_seconds * (1 + rework) * (1 + review) / (1 - idle)
    real = replace(spend, type_seconds=paid)

    def kept(plan: Plan) -> float:
        return float((real.spend_seconds(plan.images) / 3600 <= plan.risk.p90_hours).mean())

    assert kept(coco_plan(draws=2000)) == pytest.approx(0.9, abs=0.03)
    assert kept(coco_plan(overheads=None, draws=2000)) < 0.7


# --- calendar


@given(st.integers(1, 30), st.floats(5, 60), st.floats(0, 0.5), st.floats(0, 0.3))
@settings(max_examples=25, deadline=None)
def test_no_team_works_more_than_it_is_there(
    annotators: int, hours: float, review: float, rework: float
) -> None:
    """Weeks are at least all hours over the team's, and at most that and the tail of reviews."""
    overheads = exact(review, rework)
    plan = replace(EXACT_PLAN)
    team = Team(annotators, hours)
    calendar = simulate(plan, overheads, team, draws=5)
    labelling = bill_of(EXACT_PLAN, ASSUMED).total().labelling
    least = labelling * (1 + rework) * (1 + review) / (annotators * hours)
    step = max(0.2, plan.hours / (annotators * hours) / 250)
    # Shares that nobody measured differ from draw to draw: by 50% of themselves.
    assert calendar.draws.min() >= labelling / (annotators * hours) * (1 - 1e-6)
    assert calendar.weeks <= 1.35 * least + 5 * step


def test_one_exact_annotator_takes_the_plan_s_hours() -> None:
    """Nothing uncertain, nothing to review: hours over hours a week."""
    nothing = exact()
    calendar = simulate(EXACT_PLAN, nothing, Team(1, 40), draws=3)
    labelling = bill_of(EXACT_PLAN, ASSUMED).total().labelling
    assert calendar.draws == pytest.approx(labelling / 40, rel=1e-9)
    assert calendar.types[-1].ends == pytest.approx(calendar.weeks)
    assert calendar.types[0].begins == 0


def test_more_annotators_and_more_hours_are_faster() -> None:
    """In every draw, and the deadline is kept more often."""
    weeks = [simulate(PLAN, ASSUMED, Team(n, weeks=3)) for n in (1, 3, 9)]
    assert weeks[0].weeks > weeks[1].weeks > weeks[2].weeks
    assert weeks[0].in_time <= weeks[1].in_time <= weeks[2].in_time
    assert simulate(PLAN, ASSUMED, Team(3, 20)).weeks > weeks[1].weeks
    needed = weeks[0].annotators_needed
    assert simulate(PLAN, ASSUMED, Team(needed, weeks=3)).in_time >= 0.85
    assert simulate(PLAN, ASSUMED, Team(needed - 1, weeks=3)).in_time < 0.95


def test_what_does_not_fit_is_said() -> None:
    """Half the time leaves images of the last type; all of it leaves none."""
    whole = simulate(PLAN, ASSUMED, Team(2))
    short = simulate(PLAN, ASSUMED, Team(2, weeks=whole.weeks / 2))
    assert short.in_time < 0.2
    assert 0 < short.types[-1].left <= short.types[-1].images
    assert sum(one.left for one in simulate(PLAN, ASSUMED, Team(2, weeks=1000)).types) == 0
    assert simulate(PLAN, ASSUMED, Team(2, weeks=0.001)).annotators_needed is None


def test_the_deadline_runs_during_set_up() -> None:
    """What is left then is what so much less time leaves; all of it where set-up takes it all."""
    team = Team(2, weeks=2)
    one = 20.0 * len(bill_of(PLAN, ASSUMED).lines)  # of set-up hours, all before the first label
    late = simulate(PLAN, exact(setup=20), Team(2, weeks=2 + one / 80), draws=20)
    early = simulate(PLAN, exact(), team, draws=20)
    assert [each.left for each in late.types] == pytest.approx([each.left for each in early.types])
    none = simulate(PLAN, exact(setup=100), team, draws=5)
    assert [each.left for each in none.types] == [each.images for each in none.types]


def test_dates_follow_from_the_start() -> None:
    """Working days only: ten of them from a Tuesday end on a Monday; no start, no date."""
    calendar = simulate(PLAN, ASSUMED, Team(5, start=date(2026, 12, 1)), draws=20)
    assert calendar.day(2.0) == date(2026, 12, 14)
    assert calendar.first_day(0.0) == date(2026, 12, 1)
    assert simulate(PLAN, ASSUMED, Team(5), draws=20).day(2.0) is None


def test_what_ends_after_the_last_year_has_no_date() -> None:
    """Python's dates end with 9999; weeks are shown then."""
    calendar = simulate(PLAN, ASSUMED, Team(5, start=date(2026, 12, 1)), draws=20)
    assert calendar.day(500_000.0) is None


def test_learning_slows_the_first_hours_only() -> None:
    """Longer at first, shorter in the end, and the log's mean over the hours of the log."""
    learning = Learning(extra=1.0, hours=2.0, logged_hours=10.0)
    hours = np.linspace(0, 10, 10_001)
    assert slowness(hours, learning).mean() == pytest.approx(1, abs=1e-3)
    assert slowness(hours, learning)[0] > 1.5 > 1 > slowness(hours, learning)[-1]
    assert (slowness(hours, None) == 1).all()
    learnt = {**EXACT_TIMES.model_dump(by_alias=True)}
    for name in ("point_first", "box", "mask"):
        learnt[name] = {**learnt[name], "learning": learning.model_dump()}
    slow = replace(EXACT_PLAN, times=LabellingTimes.from_mapping(learnt))
    beginners = Team(40, 10, weeks=None)
    assert simulate(slow, exact(), beginners).weeks > simulate(EXACT_PLAN, exact(), beginners).weeks


@pytest.mark.parametrize(
    ("values", "named"),
    [({"annotators": 0}, "annotators"), ({"annotators": 2, "hours_a_week": 0}, "hours_a_week"),
     ({"annotators": 2, "hours_a_week": 200}, "hours_a_week"),
     ({"annotators": 2, "weeks": -1}, "weeks")],
)  # fmt: skip
def test_impossible_teams_are_refused(values: dict, named: str) -> None:
    """Each fault names its parameter."""
    with pytest.raises(InputError, match=named):
        Team(**values)


def _one_by_one(plan: Plan, team: Team, rng: np.random.Generator) -> float:
    """Weeks of one project by another way: every image goes to whoever is free first."""
    spend = draw_spend(plan.stats, plan.times, rng, 1)
    review, rework, idle = (one[0] for one in draw_shares(ASSUMED, 1, rng))
    free = [(0.0, who) for who in range(team.annotators)]
    for kind in reversed(AnnotationType):
        place = kind.strength
        if kind is AnnotationType.NONE or not plan.images[place]:
            continue
        sd = plan.times.project_log_sd.of(kind)
        speeds = np.exp(sd * rng.standard_normal(team.annotators) + sd**2 / 2)
        mean = spend.type_seconds[0, place]
        log_sd = np.sqrt(np.log1p(spend.variance[place] / mean**2))
        noise = np.exp(log_sd * rng.standard_normal(int(plan.images[place])) - log_sd**2 / 2)
        paid = mean * noise * (1 + rework[place]) * (1 + review[place]) / (1 - idle[place])
        for seconds in paid.tolist():
            now, who = free[0]
            # Its review and rework take as much of somebody's time: here of the same person's.
            heapq.heapreplace(free, (now + seconds * speeds[who], who))
    days = max(now for now, _ in free) / (team.hours_a_week / 5 * 3600)
    # The last labels are reviewed, done again and reviewed again on the three days that follow.
    return (np.floor(days) + 3) / 5


def test_the_finish_holds_in_projects_simulated_one_image_at_a_time() -> None:
    """Quantiles of the weeks hold their share of projects made by another simulation."""
    plan = make_plan(
        Question(450.0), BUILT_IN["coco"].with_images(6_000), dataset="coco", overheads=ASSUMED,
        draws=100,
    )  # fmt: skip
    team = Team(3, 30)
    calendar = simulate(plan, ASSUMED, team, draws=2000)
    rng = np.random.default_rng(11)
    real = np.array([_one_by_one(plan, team, rng) for _ in range(250)])
    for level in (0.1, 0.5, 0.9):
        held = (real <= np.quantile(calendar.draws, level)).mean()
        assert held == pytest.approx(level, abs=0.07)
