"""The sentences and figures of a report, without any markup: every page says the same."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import numpy as np

from omnicost.annotation import AnnotationType
from omnicost.campaign.bill import Bill, setup_hours
from omnicost.campaign.calendar import SURE, Calendar
from omnicost.campaign.report import Pay, PlanReport
from omnicost.cost import ORDER, SECONDS_PER_HOUR, Overheads
from omnicost.cost.overheads import SHARES
from omnicost.plan.build import MORE, Alternative, Plan
from omnicost.plan.evidence import HEADINGS
from omnicost.plan.optimise import MASK
from omnicost.plan.uncertainty import CLOSE_AP

_PROMPTED_BY_NAMES = (AnnotationType.NONE, AnnotationType.CLASS)


# --- figures


def hours_text(hours: float) -> str:
    """Hours with as many decimals as they need: 500 h, 12.5 h, 0.35 h."""
    return f"{hours_number(hours)} h"


def hours_number(hours: float) -> str:
    """The number of `hours_text`."""
    if hours >= 100 or hours == int(hours):
        return f"{hours:,.0f}"
    return f"{hours:.1f}" if hours >= 1 else f"{hours:.2g}"


def percent(share: float) -> str:
    """A share of the images; what is little stays visible."""
    if share in (0, 1):
        return f"{share:.0%}"
    return f"{100 * share:.1f}%" if share >= 0.001 else f"{100 * share:.2g}%"


def full_percent(share: float) -> str:
    """A share of full supervision, which full supervision itself is exactly."""
    return f"{100 * min(share, 1.0):.1f}%"


def gain(share: float, plan: Plan) -> str:
    """A difference of shares in AP, or in points where full AP is not known."""
    full = plan.evidence.surface.full
    return f"{100 * share:+.1f} points" if full is None else f"{share * full:+.2f} AP"


def described(images: np.ndarray) -> str:
    """An allocation in words, strongest type first."""
    used = [annotation for annotation in reversed(ORDER) if images[annotation.strength] > 0]
    return ", ".join(f"{percent(images[k.strength] / images.sum())} {k}" for k in used)


def weeks_text(weeks: float) -> str:
    """Weeks, or days where there are few."""
    return f"{weeks:.1f} weeks" if weeks >= 2 else f"{5 * weeks:.1f} working days"


def weeks_range(low: float, high: float) -> str:
    """An interval of weeks, in the unit that `weeks_text` gives its end."""
    end = weeks_text(high)
    start = weeks_text(low) if high < 2 else f"{low:.1f} weeks"
    return end if start == end else f"{start.split()[0]} to {end}"


def deadline_text(weeks: float) -> str:
    """A deadline as it was given."""
    return f"{weeks:g} week{'' if weeks == 1 else 's'}"


# --- the question


def title(report: PlanReport) -> str:
    """What the plan answers."""
    stats = report.plan.stats
    return f"{stats.images:,} images, statistics of {stats.name}: {asked(report)}"


def asked(report: PlanReport) -> str:
    """The question, without the images that it is asked of."""
    question, pay = report.question, report.pay
    if question.budget_hours is None:
        text = f"the least cost for {100 * (question.target or 0):.4g}% of full supervision"
    else:
        money = "" if pay is None else f" ({pay.of(question.budget_hours)})"
        text = f"the most AP for {hours_text(question.budget_hours)}{money}"
    if question.confidence is not None:
        kept = "reached" if question.budget_hours is None else "kept"
        text += f", {kept} with {question.confidence:.0%} confidence"
    limits = [f"{each} at most {hours_text(hours)}" for each, hours in question.max_hours.items()]
    return text + "".join(f", {limit}" for limit in limits)


# --- what to expect


def outlook(report: PlanReport) -> Iterator[tuple[str, str]]:
    """Name and text of each line on what the plan may come to."""
    yield from _expectation(report)
    yield from _spend(report)
    if report.calendar is not None:
        yield from _finish(report.calendar)
    yield from _chances(report.plan)
    yield f"{MORE - 1:.0%} more", _more(report)


def _expectation(report: PlanReport) -> Iterator[tuple[str, str]]:
    plan = report.plan
    expected, full = plan.expectation, plan.evidence.surface.full
    low, high = expected.share_interval
    if plan.images[MASK] == plan.stats.images:
        yield "Expect", "full supervision: every image has masks"
    else:
        interval = f"80%: {low:.1%} to {high:.1%}"
        yield "Expect", f"{full_percent(expected.share)} of the AP of full supervision ({interval})"
    if expected.ap is not None and expected.ap_interval is not None:
        low, high = expected.ap_interval
        yield "", f"AP {expected.ap:.1f} ({low:.1f} to {high:.1f}) where full is {full:.1f}"
    if plan.rule is not None:
        yield "Rule of thumb", _rule(report, plan.rule)


def _rule(report: PlanReport, rule: Alternative) -> str:
    """The rule of thumb beside the plan."""
    plan = report.plan
    if np.array_equal(rule.images, plan.images):
        return "(strongest type that all can have, rest on masks) the same plan"
    change = gain(rule.share - plan.expectation.share, plan)
    verdict = "clearly worse" if plan.beats_rule else "not clearly worse"
    return (
        f"{described(rule.images)}: {full_percent(rule.share)} ({change}) for "
        f"{hours_text(_paid_hours(report, rule))}; {verdict}, chance {rule.worse:.0%}"
    )


def _spend(report: PlanReport) -> Iterator[tuple[str, str]]:
    plan, risk, pay = report.plan, report.plan.risk, report.pay
    low, high = report.hours_interval
    money = "" if pay is None else f", {pay.of(report.hours)}"
    over = "" if risk.over_budget is None else f"; {risk.over_budget:.0%} chance to exceed budget"
    around = f"80%: {hours_number(low)} to {hours_text(high)}"
    yield "Spend", f"{hours_text(report.hours)}{money} at mean times ({around}){over}"
    budget = plan.question.budget_hours
    if budget is not None and plan.hours < 0.995 * budget:
        yield "", f"{hours_text(budget - plan.hours)} of the budget {_why_left(plan)}"


def _why_left(plan: Plan) -> str:
    if plan.question.confidence is not None:
        return f"kept back: the {plan.question.confidence:.0%} quantile of the spend must fit"
    if plan.images[MASK] == plan.stats.images:
        return "is left over: every image has masks"
    if plan.question.max_hours:
        return "is left over: nothing that the limits on hours allow is worth more"
    left = (plan.question.budget_seconds or 0.0) - float(plan.problem.cost(plan.images))
    steps = _upgrades(plan)
    if any(cost <= left for cost in steps):
        return "is left over: what it could still buy is worth less than 0.01 AP"
    if steps:
        return "is left over: too little to give one more image a better label"
    return "is left over: nothing allowed is worth more"


def _upgrades(plan: Plan) -> list[float]:
    """Seconds that it takes to give one image a label that is worth more."""
    problem = plan.problem
    share = float(problem.share_of_full(plan.images))
    costs = []
    for low in np.flatnonzero(plan.images):
        for high in [*problem.strengths.tolist(), *([MASK] if problem.masks_allowed else [])]:
            raised = plan.images.copy()
            raised[low] -= 1
            raised[high] += 1
            if float(problem.share_of_full(raised)) > share + 1e-12:
                costs.append(float(problem.seconds[high] - problem.seconds[low]))
    return costs


def _chances(plan: Plan) -> Iterator[tuple[str, str]]:
    risk = plan.risk
    if risk.short_of_target is not None:
        remedy = ": it is what to expect, no promise; ask for one with a confidence, such as 0.8"
        remedy = remedy if plan.question.confidence is None else ""
        yield "Target", f"missed with {risk.short_of_target:.0%} chance{remedy}"
    yield (
        "Regret",
        f"{risk.regret_ap:.1f} AP on average short of what hindsight would have bought; "
        f"{risk.close_to_best:.0%} chance to be within {CLOSE_AP:g} AP of it",
    )


def _more(report: PlanReport) -> str:
    more = report.plan.more
    if more is None:
        return "would buy nothing"
    change = gain(more.share - report.plan.expectation.share, report.plan)
    return f"({hours_text(_paid_hours(report, more))}) buys {change}: {described(more.images)}"


def _paid_hours(report: PlanReport, one: Alternative) -> float:
    """All hours of another plan, with the set-up of the types that it adds labels of."""
    if report.bill is None:
        return one.hours
    new = report.plan.problem.new_labels(one.images)
    return one.hours + setup_hours(new, report.bill.overheads)


# --- calendar


def _finish(calendar: Calendar) -> Iterator[tuple[str, str]]:
    team, (low, high) = calendar.team, calendar.weeks_interval
    who = f"{team.annotators:,} annotator{'' if team.annotators == 1 else 's'}"
    text, interval = f"in {weeks_text(calendar.weeks)}", weeks_range(low, high)
    text += f" (80%: {interval})" if " to " in interval else ""
    done = [calendar.day(weeks) for weeks in (calendar.weeks, low, high)]
    if all(day is not None for day in done):
        around = f" (80%: {done[1]} to {done[2]})" if done[1] != done[2] else ""
        text = f"{done[0]}{around}, {weeks_text(calendar.weeks)}"
    yield "Done", f"{text}, with {who} of {team.hours_a_week:g} h a week"
    if calendar.in_time is not None:
        yield "", _deadline(calendar)


def _deadline(calendar: Calendar) -> str:
    weeks = deadline_text(calendar.team.weeks or 0)
    text = f"{calendar.in_time or 0:.0%} chance to be done in {weeks}"
    left = [f"{one.left:,.0f} {one.annotation}" for one in calendar.types if one.left >= 0.5]
    if left:
        text += f"; {', '.join(left)} images are then expected to be without a label"
    needed = calendar.annotators_needed
    if (calendar.in_time or 0) >= SURE:
        return text
    if needed is None:
        return f"{text}; no number of annotators makes that likely: reviews alone take days"
    return f"{text}; {needed:,} annotators would make it with {SURE:.0%}"


# --- what it rests on


def grounds(report: PlanReport) -> Iterator[str]:
    """What the plan rests on, one sentence or two each."""
    plan = report.plan
    yield f"{HEADINGS[plan.evidence.grade]}: {plan.evidence.grounds}."
    yield (
        "AP = masked share + worth of a weak label x the rest; the worth depends on the number of "
        "masks that the teacher is tuned on."
    )
    yield _times_line(plan)
    if report.bill is not None:
        yield overheads_line(report.bill)
    yield f"K, c, n: {plan.stats.source}."


def cautions(report: PlanReport) -> Iterator[str]:
    """What a reader must know before relying on the plan, one sentence or two each."""
    yield from report.plan.notes
    used = [each for each in _PROMPTED_BY_NAMES if report.plan.images[each.strength]]
    if used:
        yield (
            f"{' and '.join(used).capitalize()}: masks come from a detector that is told class "
            "names in words. Names that it does not know (parts, codes, jargon) are worth less "
            "than this; data that it was trained on, more."
        )


def _times_line(plan: Plan) -> str:
    spread = plan.times.project_log_sd
    sds = spread.as_array()
    shown = f"{sds.max():.2g}" if np.ptp(sds) == 0 else f"{sds.min():.2g} to {sds.max():.2g}"
    every = len(spread.measured) == len(sds)
    origin = "measured" if every else "assumed; omnicost calibrate measures it"
    return f"Times per label differ from those used by a log sd of {shown} a type ({origin})."


def overheads_line(bill: Bill) -> str:
    """The shares behind the bill, and which of them nobody measured."""
    used = [bill.overheads.get(line.annotation, Overheads()) for line in bill.lines]
    shares = [
        f"{name} {_range([getattr(one, name) for one in used])} {of}" for name, of in SHARES.items()
    ]
    setup = f"set-up {hours_text(bill.setup_hours)}" if bill.setup_hours else "no set-up time"
    assumed = bill.assumed()
    note = f" ({', '.join(assumed)}: assumed)" if assumed else ""
    return f"Hours include {', '.join(shares)}, {setup}{note}."


def _range(values: list[float]) -> str:
    low, high = (f"{100 * end:.3g}%" for end in (min(values, default=0), max(values, default=0)))
    return low if low == high else f"{low} to {high}"


# --- tables


def allocation_rows(report: PlanReport) -> Iterator[list[str]]:
    """Label, images, share, seconds an image, hours and, with pay, money; the total last."""
    plan = report.plan
    for annotation in reversed(ORDER):
        count = int(plan.images[annotation.strength])
        if count:
            hours = float(plan.label_hours[annotation.strength])
            new = int(plan.new_labels[annotation.strength])
            seconds = hours * SECONDS_PER_HOUR / max(new, 1)
            share = percent(count / plan.stats.images)
            yield [str(annotation), f"{count:,}", share, f"{seconds:,.1f}",
                   *_paid(hours, report.pay)]  # fmt: skip
    if report.hours > plan.hours:
        yield ["set-up", "", "", "", *_paid(report.hours - plan.hours, report.pay)]
    each = f"{report.hours * SECONDS_PER_HOUR / plan.stats.images:,.1f}"
    yield ["total", f"{plan.stats.images:,}", "100%", each, *_paid(report.hours, report.pay)]


def _paid(hours: float, pay: Pay | None) -> list[str]:
    money = [] if pay is None else [f"{hours * pay.wage_per_hour:,.0f}"]
    return [f"{hours:,.1f}" if hours >= 1 or hours == 0 else f"{hours:.2g}", *money]


BILL_HEADINGS = ("label", "labelling", "review", "rework", "idle", "set-up", "all hours")


def bill_rows(bill: Bill) -> Iterator[list[str]]:
    """Hours of each type by what they go into; the total last where there are several."""
    lines = [(str(line.annotation), line) for line in bill.lines]
    if len(lines) > 1:
        lines.append(("total", bill.total()))
    for name, line in lines:
        parts = (line.labelling, line.review, line.rework, line.idle, line.setup, line.hours)
        yield [name, *(hours_number(hours) for hours in parts)]


def calendar_headings(calendar: Calendar) -> tuple[str, ...]:
    """Of the columns of `calendar_rows`."""
    deadline = () if calendar.in_time is None else ("left at deadline",)
    return ("label", "images", "begins", "done", "90% by", *deadline)


def calendar_rows(calendar: Calendar) -> Iterator[list[str]]:
    """Weeks of each type, in the order of work."""
    for one in calendar.types:
        left = [] if calendar.in_time is None else [f"{one.left:,.0f}"]
        ends = (_moment(calendar.day(w), w) for w in (one.ends, one.ends_interval.high))
        begins = _moment(calendar.first_day(one.begins), one.begins)
        yield [str(one.annotation), f"{one.images:,}", begins, *ends, *left]


def _moment(day: date | None, weeks: float) -> str:
    return f"week {weeks:.1f}" if day is None else day.isoformat()


def runner_up_rows(report: PlanReport) -> Iterator[list[str]]:
    """Labels, hours, share, difference and chance of plans that can be told apart in print."""
    plan = report.plan
    seen = {described(plan.images)}
    for one in plan.runners_up:
        if (text := described(one.images)) not in seen:
            seen.add(text)
            change = gain(one.share - plan.expectation.share, plan)
            hours = hours_number(_paid_hours(report, one))
            yield [text, hours, full_percent(one.share), change, f"{one.better:.0%}"]
