"""Who labels, and by when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Final

import numpy as np

from omnicost.errors import InputError

DAYS_A_WEEK: Final = 5
HOURS_A_WEEK: Final = 40.0
MOST_ANNOTATORS: Final = 1_000


@dataclass(frozen=True)
class Team:
    """Who labels, and by when.

    Attributes:
        annotators: how many work side by side.
        hours_a_week: paid hours of each.
        weeks: by when it should be done; None for no deadline.
        start: first day; None to count weeks only.
    """

    annotators: int
    hours_a_week: float = HOURS_A_WEEK
    weeks: float | None = None
    start: date | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.annotators <= MOST_ANNOTATORS:
            remedy = f"give 1 to {MOST_ANNOTATORS:,}"
            raise InputError("`annotators`", f"is {self.annotators}", remedy)
        if not 0 < self.hours_a_week <= 168:
            raise InputError("`hours_a_week`", f"is {self.hours_a_week:g}", "give over 0 to 168")
        if self.weeks is not None and not 0 < self.weeks < np.inf:
            raise InputError("`weeks`", f"is {self.weeks:g}", "give weeks over 0")
