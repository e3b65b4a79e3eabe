"""A plan with its bill and its calendar: what the pages show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from omnicost.campaign.bill import Bill, BillLine
from omnicost.campaign.calendar import Calendar, TypeWeeks
from omnicost.cost import Interval
from omnicost.labelling import ImageList, assign
from omnicost.plan import Plan, Question


class Pay(NamedTuple):
    """What an hour of annotation costs, to show money beside hours."""

    wage_per_hour: float
    currency: str = "usd"

    def of(self, hours: float) -> str:
        """The pay for so many hours."""
        return f"{hours * self.wage_per_hour:,.0f} {self.currency}"


@dataclass(frozen=True)
class PlanReport:
    """A plan and what goes with it.

    Attributes:
        plan: the plan; its own question has set-up time taken off the budget.
        question: what was asked.
        bill: where the hours go; None for labelling alone.
        calendar: when it is done; None without annotators.
        pay: to show money; None to show hours.
        images: the project's own; None for a bare count.
        seed: which image gets what.
        held: (N,) strength of the label that each image has already; None without any.
        masks_first: (N,) place of each image in the order in which masks are given; None: drawn.
    """

    plan: Plan
    question: Question
    bill: Bill | None = None
    calendar: Calendar | None = None
    pay: Pay | None = None
    images: ImageList | None = None
    seed: int = 0
    held: np.ndarray | None = None
    masks_first: np.ndarray | None = None

    def assigned(self) -> np.ndarray:
        """(N,) strength of the annotation type that each image gets."""
        return assign(self.plan.images, self.seed, self.held, self.masks_first)

    @property
    def setup_hours(self) -> float:
        """Of all types; 0 without a bill."""
        return 0.0 if self.bill is None else self.bill.setup_hours

    @property
    def hours(self) -> float:
        """All paid hours, set-up included."""
        return self.plan.hours + self.setup_hours

    @property
    def hours_interval(self) -> Interval:
        """80% of the draws of `hours`."""
        low, high = self.plan.risk.hours_interval
        return Interval(low + self.setup_hours, high + self.setup_hours)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON data: the plan's, with bill, calendar and money beside it."""
        data = self.plan.as_dict()
        if self.bill is not None:
            data["bill"] = {
                "total_hours": self.bill.hours,
                "assumed": list(self.bill.assumed()),
                "types": [{**_by_type(line), "hours": line.hours} for line in self.bill.lines],
            }
        if self.calendar is not None:
            data["calendar"] = _calendar(self.calendar)
        if self.pay is not None:
            data |= {"money": self.hours * self.pay.wage_per_hour, "currency": self.pay.currency}
        return data


def _by_type(line: BillLine | TypeWeeks) -> dict[str, Any]:
    data = line._asdict()
    return {"kind": str(data.pop("annotation")), **data}


def _calendar(calendar: Calendar) -> dict[str, Any]:
    low, high = calendar.weeks_interval
    days = {name: calendar.day(weeks) for name, weeks in
            [("expected", calendar.weeks), ("low", low), ("high", high)]}  # fmt: skip
    return {
        "annotators": calendar.team.annotators,
        "hours_a_week": calendar.team.hours_a_week,
        "weeks": calendar.weeks,
        "weeks_interval": [low, high],
        "done": {name: None if day is None else day.isoformat() for name, day in days.items()},
        "deadline_weeks": calendar.team.weeks,
        "in_time": calendar.in_time,
        "annotators_needed": calendar.annotators_needed,
        "types": [
            {**_by_type(one), "ends_interval": list(one.ends_interval)} for one in calendar.types
        ],
    }
