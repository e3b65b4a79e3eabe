"""What labelling brings with it: review, rework, idle and set-up time beside labelling itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from omnicost.annotation import AnnotationType
from omnicost.errors import ConfigError, faults_of

# Assumptions, not measurements: round figures that a project replaces with its own, and how far
# off such a share may be, as the standard deviation of its logarithm.
REVIEW: Final = 0.15
REWORK: Final = 0.05
IDLE: Final = 0.10
ASSUMED_LOG_SD: Final = 0.5
KNOWN_LOG_SD: Final = 0.15
_MOST_IDLE: Final = 0.95
MOST: Final = 10.0
"""Seconds of review or rework for each second of labelling, over which a figure is a slip."""
SHARES: Final = {"review": "of labelling", "rework": "of labelling", "idle": "of paid time"}
"""Time that is paid beside labelling, and what it is a share of."""


class Overheads(BaseModel):
    """Paid time of one annotation type beside that of labelling it once."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    review: float = Field(default=REVIEW, ge=0, le=MOST)
    """Seconds of checking for each second of labelling."""
    rework: float = Field(default=REWORK, ge=0, le=MOST)
    """Share of the labelling that is done again, and checked again."""
    idle: float = Field(default=IDLE, ge=0, le=0.9)
    """Share of the paid time in which nothing is labelled: waiting, breaks, the tool."""
    setup_hours: float = Field(default=0.0, ge=0)
    """Hours before the first label, once for the whole project: instructions, training."""
    known: tuple[Literal["review", "rework", "idle", "setup_hours"], ...] = ()
    """What was measured or given; the rest is assumed."""

    @property
    def factor(self) -> float:
        """Paid seconds for each second of labelling, set-up left out."""
        return (1 + self.rework) * (1 + self.review) / (1 - self.idle)

    def given(self, **values: float | None) -> Overheads:
        """The same with values that somebody gave; those that are None stay.

        Raises:
            ConfigError: naming every value that cannot be used.
        """
        new = {name: value for name, value in values.items() if value is not None}
        known = tuple(dict.fromkeys((*self.known, *new)))
        try:
            return Overheads.model_validate({**self.model_dump(), **new, "known": known})
        except ValidationError as error:
            raise ConfigError("overheads", faults_of(error)) from None


NOTHING: Final = Overheads(review=0, rework=0, idle=0)
OverheadsByType = Mapping[AnnotationType, Overheads]


def overhead_factors(overheads: OverheadsByType | None) -> np.ndarray:
    """Paid seconds for each second of labelling of every type: (T,) float64; ones for None."""
    return np.array([_of(annotation, overheads).factor for annotation in AnnotationType])


def draw_shares(
    overheads: OverheadsByType, draws: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Review, rework and idle share of every type, (D, T) each, as far as they are known.

    A share that is too low for one type is likely too low for all, so a draw shifts them together.
    """
    types = [_of(annotation, overheads) for annotation in AnnotationType]
    sds = np.array(
        [[KNOWN_LOG_SD if n in one.known else ASSUMED_LOG_SD for one in types] for n in SHARES]
    )
    means = np.array([[getattr(one, name) for one in types] for name in SHARES])
    standard = rng.standard_normal((3, draws, 1))
    drawn = means[:, None] * np.exp(sds[:, None] * standard - sds[:, None] ** 2 / 2)
    return drawn[0], drawn[1], np.minimum(drawn[2], _MOST_IDLE)


def _of(annotation: AnnotationType, overheads: OverheadsByType | None) -> Overheads:
    if overheads is None or annotation is AnnotationType.NONE:
        return NOTHING
    return overheads.get(annotation, Overheads())
