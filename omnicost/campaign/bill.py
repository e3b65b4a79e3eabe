"""What a plan's hours go into: labelling, review, rework, idle and set-up time of every type."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from omnicost.annotation import AnnotationType
from omnicost.cost import Overheads, OverheadsByType
from omnicost.cost.overheads import SHARES
from omnicost.errors import InputError
from omnicost.plan import Plan, Question


class BillLine(NamedTuple):
    """Hours of one annotation type."""

    annotation: AnnotationType
    images: int
    labelling: float
    review: float
    rework: float
    idle: float
    setup: float

    @property
    def hours(self) -> float:
        """All of them."""
        return self.labelling + self.review + self.rework + self.idle + self.setup


class Bill(NamedTuple):
    """The hours of every type that is used, strongest first.

    Attributes:
        lines: one a type.
        overheads: what they were computed with.
    """

    lines: tuple[BillLine, ...]
    overheads: OverheadsByType

    @property
    def hours(self) -> float:
        """Of all types."""
        return sum(line.hours for line in self.lines)

    @property
    def setup_hours(self) -> float:
        """Of all types."""
        return sum(line.setup for line in self.lines)

    def total(self) -> BillLine:
        """The sum of the lines, under the name of none of them."""
        sums = [sum(column) for column in zip(*(line[1:] for line in self.lines), strict=True)]
        images, *hours = sums or [0] * 6
        return BillLine(AnnotationType.NONE, int(images), *hours)

    def assumed(self) -> tuple[str, ...]:
        """The shares that nobody measured or gave for some type that is used."""
        used = [self.overheads.get(line.annotation, Overheads()) for line in self.lines]
        return tuple(name for name in SHARES if any(name not in one.known for one in used))


def bill_of(plan: Plan, overheads: OverheadsByType) -> Bill:
    """The bill of a plan that was made with these overheads."""
    lines = (_line(plan, each, overheads.get(each, Overheads())) for each in plan.labelled)
    return Bill(tuple(lines), overheads)


def _line(plan: Plan, annotation: AnnotationType, one: Overheads) -> BillLine:
    images = int(plan.new_labels[annotation.strength])
    paid = float(plan.label_hours[annotation.strength])
    labelling = paid / one.factor
    return BillLine(
        annotation,
        images,
        labelling,
        review=labelling * (1 + one.rework) * one.review,
        rework=labelling * one.rework,
        idle=paid * one.idle,
        setup=one.setup_hours,
    )


def plan_with_setup(
    question: Question, make: Callable[[Question], Plan], overheads: OverheadsByType
) -> Plan:
    """The plan whose hours and set-up time fit the budget together.

    Raises:
        InputError: if set-up alone takes the budget.
    """
    plan, allowed = make(question), question.budget_hours
    while allowed is not None and question.budget_hours is not None:
        left = question.budget_hours - setup_hours(plan.new_labels, overheads)
        if left < 0:
            text = f"set-up of {question.budget_hours - left:,.4g} h takes all of it"
            raise InputError("`budget`", text, "raise it, or leave types out with `types`")
        if allowed <= left:
            break
        allowed = left
        plan = make(replace(question, budget_hours=allowed))
    return plan


def setup_hours(images: np.ndarray, overheads: OverheadsByType) -> float:
    """Set-up hours of the types that an allocation (T,) uses."""
    return sum(
        one.setup_hours
        for each, one in overheads.items()
        if each is not AnnotationType.NONE and images[each.strength] > 0
    )
