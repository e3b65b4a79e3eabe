"""What students cost whose stages are shared: each stage is paid by the first that needs it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from typing import NamedTuple

LEAST_HOURS = 1e-6  # of a student, so that what costs nothing has a rate


class PricedStudent(NamedTuple):
    """A student of a front: cell and schedule, and which seed.

    Args:
        coordinate: of the cell at the full schedule; N more for each shorter schedule.
        seed: position among the seeds.
    """

    coordinate: int
    seed: int


class Offer(NamedTuple):
    """A student that could be trained, and the device-hours that it takes."""

    student: PricedStudent
    hours: float


@dataclass(frozen=True)
class Prices:
    """Device-hours of the stages, and which of them each student needs."""

    stages: Mapping[PricedStudent, frozenset[str]]
    hours: Mapping[str, float]

    def needed(self, students: Iterable[PricedStudent]) -> frozenset[str]:
        """Stages that any of the students needs."""
        return frozenset[str]().union(*(self.stages[student] for student in students))

    def of(self, student: PricedStudent, done: Set[str]) -> float:
        """Device-hours that a student still takes."""
        left = math.fsum(self.hours[key] for key in self.stages[student] - done)
        return max(left, LEAST_HOURS)

    def offers(self, taken: Iterable[PricedStudent], done: Set[str]) -> list[Offer]:
        """Of each cell and schedule, the student of the first seed that was not taken."""
        found: dict[int, PricedStudent] = {}
        for student in sorted(set(self.stages) - set(taken)):
            found.setdefault(student.coordinate, student)
        return [Offer(student, self.of(student, done)) for student in found.values()]
