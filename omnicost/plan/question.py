"""What a plan is asked: the most AP for a budget, or the least cost for a target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from omnicost.annotation import AnnotationType
from omnicost.cost import SECONDS_PER_HOUR
from omnicost.errors import InputError


@dataclass(frozen=True)
class Question:
    """What is asked: the most AP for a budget, or the least cost for a target.

    Attributes:
        budget_hours: what may be spent; None for a target.
        target: share of full supervision to reach; None for a budget.
        confidence: with what chance the spend must fit or the target be reached; None to fit it at
            mean times, or to expect to reach it.
        max_hours: hours that annotators of a type have.
    """

    budget_hours: float | None = None
    target: float | None = None
    confidence: float | None = None
    max_hours: Mapping[AnnotationType, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if (self.budget_hours is None) == (self.target is None):
            given = "neither is given" if self.target is None else "both are given"
            raise InputError("`budget`, `target`", given, "give one of them")
        if self.budget_hours is not None and not 0 <= self.budget_hours < np.inf:
            raise InputError("`budget`", f"{self.budget_hours:g} h", "give hours from 0 up")
        if self.target is not None and not 0 < self.target <= 1:
            raise InputError("`target`", f"{self.target:.4g} of full", "give 1% to 100%")
        self._check_limits()

    def _check_limits(self) -> None:
        if self.confidence is not None and not 0.5 <= self.confidence < 1:
            raise InputError("`confidence`", f"is {self.confidence:g}", "give 0.5 to 0.99")
        for annotation, hours in self.max_hours.items():
            if not 0 <= hours < np.inf:
                problem = f"{annotation} is {hours:g}"
                raise InputError("`max_hours`", problem, "give hours from 0 up")

    @property
    def budget_seconds(self) -> float | None:
        """The budget in seconds."""
        return None if self.budget_hours is None else self.budget_hours * SECONDS_PER_HOUR

    @property
    def is_plain(self) -> bool:
        """Whether it is a budget to be kept at mean times, and no more."""
        return self.target is None and self.confidence is None

    def same_spend(self, hours: float) -> Question:
        """The question that runners-up answer: for the same money, a target as it stands.

        A plan under confidence is compared at its mean spend, so that plans compare like for like.
        """
        if self.confidence is None:
            return self
        return replace(self, budget_hours=hours * (1 + 1e-9), target=None, confidence=None)

    def with_more(self, factor: float, hours: float) -> Question:
        """The question for so many times the budget, or the `hours` that a target takes."""
        spent = hours if self.budget_hours is None else self.budget_hours
        confidence = None if self.budget_hours is None else self.confidence
        return replace(self, budget_hours=factor * spent, target=None, confidence=confidence)
