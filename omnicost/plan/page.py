"""A plan as a page of text: what to do, what to expect, what may go wrong, what it rests on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from omnicost.annotation import AnnotationType
from omnicost.cost import ORDER, SECONDS_PER_HOUR
from omnicost.plan.build import MORE, Alternative, Plan
from omnicost.plan.question import Question
from omnicost.plan.uncertainty import CLOSE_AP


class Pay(NamedTuple):
    """What an hour of annotation costs, to show money beside hours."""

    wage_per_hour: float
    currency: str = "usd"

    def of(self, hours: float) -> str:
        """The pay for so many hours."""
        return f"{hours * self.wage_per_hour:,.0f} {self.currency}"


def render(plan: Plan, pay: Pay | None = None) -> RenderableType:
    """The whole page, for a console of 80 columns or more."""
    parts: list[RenderableType] = [Text(_title(plan, pay), style="bold"), Text()]
    parts += [_allocation(plan, pay), Text(), _outlook(plan, pay)]
    if plan.runners_up:
        heading = "the same question" if plan.question.target is not None else "the same money"
        parts += [Text(), Text(f"Runners-up for {heading}", style="bold"), _runners_up(plan)]
    parts += [Text(), Text("Rests on", style="bold")]
    parts.append(_bullets(_grounds(plan)))
    return Group(*parts)


def _title(plan: Plan, pay: Pay | None) -> str:
    start = f"{plan.stats.images:,} images, statistics of {plan.stats.name}: "
    return start + _asked(plan.question, pay)


def _asked(question: Question, pay: Pay | None) -> str:
    if question.budget_hours is None:
        text = f"the least cost for {100 * (question.target or 0):.4g}% of full supervision"
    else:
        money = "" if pay is None else f" ({pay.of(question.budget_hours)})"
        text = f"the most AP for {_hours(question.budget_hours)}{money}"
    if question.confidence is not None:
        text += f", kept with {question.confidence:.0%} confidence"
    limits = [f"{kind} at most {_hours(hours)}" for kind, hours in question.max_hours.items()]
    return text + "".join(f", {limit}" for limit in limits)


def _allocation(plan: Plan, pay: Pay | None) -> Table:
    table = _table(["label", "images", "share", "s/image", "hours"])
    if pay is not None:
        table.add_column(pay.currency, justify="right")
    for kind in reversed(ORDER):
        count = int(plan.images[kind.strength])
        if count:
            seconds = float(plan.problem.seconds[kind.strength])
            cells = [str(kind), f"{count:,}", _percent(count / plan.stats.images)]
            table.add_row(
                *cells, f"{seconds:,.1f}", *_paid(count * seconds / SECONDS_PER_HOUR, pay)
            )
    table.add_section()
    each = f"{plan.hours * SECONDS_PER_HOUR / plan.stats.images:,.1f}"
    table.add_row("total", f"{plan.stats.images:,}", "100%", each, *_paid(plan.hours, pay))
    return table


def _paid(hours: float, pay: Pay | None) -> list[str]:
    money = [] if pay is None else [f"{hours * pay.wage_per_hour:,.0f}"]
    return [f"{hours:,.1f}", *money]


def _outlook(plan: Plan, pay: Pay | None) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    for name, text in _outlook_lines(plan, pay):
        table.add_row(name, text)
    return table


def _outlook_lines(plan: Plan, pay: Pay | None) -> Iterator[tuple[str, str]]:
    expected, risk, budget = plan.expectation, plan.risk, plan.question.budget_hours
    low, high = expected.share_interval
    yield (
        "Expect",
        f"{expected.share:.1%} of the AP of full supervision (80%: {low:.1%} to {high:.1%})",
    )
    if expected.ap is not None and expected.ap_interval is not None:
        low, high = expected.ap_interval
        full = plan.evidence.surface.full
        yield "", f"AP {expected.ap:.1f} ({low:.1f} to {high:.1f}) where full is {full:.1f}"
    low, high = risk.hours_interval
    money = "" if pay is None else f", {pay.of(plan.hours)}"
    over = "" if risk.over_budget is None else f"; {risk.over_budget:.0%} chance to exceed budget"
    around = f"80%: {_hours(low)[:-2]} to {_hours(high)}"
    yield "Spend", f"{_hours(plan.hours)}{money} at mean times ({around}){over}"
    if budget is not None and plan.hours < 0.995 * budget:
        yield "", f"{_hours(budget - plan.hours)} of the budget {_why_left(plan)}"
    if risk.short_of_target is not None:
        yield "Target", f"missed with {risk.short_of_target:.0%} chance: it is the expectation"
    yield (
        "Regret",
        f"{risk.regret_ap:.1f} AP on average short of what hindsight would have bought; "
        f"{risk.close_to_best:.0%} chance to be within {CLOSE_AP:g} AP of it",
    )
    yield f"{MORE - 1:.0%} more", _more(plan)


def _why_left(plan: Plan) -> str:
    if plan.question.confidence is not None:
        return f"kept back: the {plan.question.confidence:.0%} quantile of the spend must fit"
    if plan.images[AnnotationType.MASK.strength] == plan.stats.images:
        return "is left over: every image has masks"
    return "is left over: nothing allowed is worth more"


def _more(plan: Plan) -> str:
    if plan.more is None:
        return "would buy nothing"
    gain = plan.more.share - plan.expectation.share
    return f"({_hours(plan.more.hours)}) buys {_gain(gain, plan)}: {_described(plan.more.images)}"


def _runners_up(plan: Plan) -> Table:
    table = _table(["labels", "hours", "of full", "against plan", "chance better"])
    for one in plan.runners_up:
        table.add_row(*_runner_up(one, plan))
    return table


def _runner_up(one: Alternative, plan: Plan) -> list[str]:
    gain = _gain(one.share - plan.expectation.share, plan)
    share = f"{one.share:.1%}"
    return [_described(one.images), f"{one.hours:,.0f}", share, gain, f"{one.better:.0%}"]


def _gain(share: float, plan: Plan) -> str:
    full = plan.evidence.surface.full
    return f"{100 * share:+.1f} points" if full is None else f"{share * full:+.2f} AP"


def _described(images: np.ndarray) -> str:
    parts = [
        f"{_percent(images[kind.strength] / images.sum())} {kind}"
        for kind in reversed(ORDER)
        if images[kind.strength] > 0
    ]
    return ", ".join(parts)


def _grounds(plan: Plan) -> Iterator[str]:
    grade = {"weak": "Weak evidence", "moderate": "Moderate evidence", "measured": "Measured"}
    yield f"{grade[plan.evidence.grade]}: {plan.evidence.grounds}."
    yield (
        "AP = masked share + worth of a weak label x the rest; the worth is smoothed, rising and "
        "concave in log(1 + masks / 30)."
    )
    yield _times_line(plan)
    yield f"K, c, n: {plan.stats.source}."
    yield from plan.notes


def _times_line(plan: Plan) -> str:
    spread = plan.times.project_log_sd
    sds = spread.as_array()
    shown = f"{sds.max():.2g}" if np.ptp(sds) == 0 else f"{sds.min():.2g} to {sds.max():.2g}"
    every = len(spread.measured) == len(sds)
    origin = "measured" if every else "assumed; omnicost calibrate measures it"
    return f"Times per label differ from those used by a log sd of {shown} a type ({origin})."


def _bullets(texts: Iterator[str]) -> Table:
    grid = Table.grid(padding=(0, 1, 0, 0))
    for text in texts:
        grid.add_row(Text("-", style="dim"), Text(text, style="dim"))
    return grid


def _table(headings: list[str]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column(headings[0])
    for heading in headings[1:]:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _hours(hours: float) -> str:
    return f"{hours:,.0f} h" if hours >= 100 or hours == int(hours) else f"{hours:,.1f} h"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%" if share >= 0.001 else f"{100 * share:.2g}%"
