"""What to measure first in a project where nothing was measured.

Some images get masks. A teacher alone, without a student, then tells how good the pseudo-masks of
every weak type are, tuned on none, a quarter and a half of these masks; `forecast.quality` makes a
surface of that. The images are those that any plan of the same seed would give masks first, so
nothing of the pilot is lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np

from omnicost.annotation import AnnotationType
from omnicost.cost import (
    BUILT_IN,
    ORDER,
    SECONDS_PER_HOUR,
    DatasetStats,
    Interval,
    LabellingTimes,
    OverheadsByType,
    draw_spend,
    interval,
    overhead_factors,
    type_seconds,
    with_overheads,
)
from omnicost.errors import InputError
from omnicost.forecast.quality import f1_for, worth_draws
from omnicost.plan.evidence import gather

IMAGES: Final = 100
"""Masked pictures that give the F1 of pseudo-masks to about 1.5 points."""
SHARES: Final = (0.0, 0.25, 0.5)
"""Of them, on which teachers are tuned; the others tell how good the pseudo-masks are."""
_LEAST: Final = 20
_DRAWS: Final = 1000


class WorthBelief(NamedTuple):
    """Worth of an image of a weak type without masks, 1 being a masked one; intervals hold 80%."""

    weak: AnnotationType
    now: Interval
    """Before the pilot, from other data sets."""
    then: Interval
    """After it, if it finds the middle of what is believed now."""


@dataclass(frozen=True)
class Pilot:
    """A pilot and what it is for.

    Attributes:
        images: (N,) strength of each image's label: masks for the pilot's, none for the rest.
        hours: mean hours that it takes, and their 80% interval.
        beliefs: what it decides, by weak type.
        like: the data sets that the beliefs before it come from.
    """

    images: np.ndarray
    hours: float
    hours_interval: Interval
    beliefs: tuple[WorthBelief, ...]
    like: tuple[str, ...]

    @property
    def count(self) -> int:
        """Images that get masks."""
        return int((self.images > 0).sum())

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return {
            "images": len(self.images),
            "masks": self.count,
            "hours": self.hours,
            "hours_interval": list(self.hours_interval),
            "like": list(self.like),
            "worth": {
                str(one.weak): {"now": list(one.now), "then": list(one.then)}
                for one in self.beliefs
            },
        }


def make_pilot(
    order: np.ndarray,
    stats: DatasetStats,
    times: LabellingTimes | None = None,
    *,
    overheads: OverheadsByType | None = None,
    like: Sequence[str] = (),
    seed: int = 0,
) -> Pilot:
    """The pilot of a project of `stats.images` images.

    Args:
        order: (N,) strengths with masks on the pilot's images, from `labelling.assign`.
        stats: statistics of the images.
        times: labelling times; the published ones if not given.
        overheads: review, rework and idle time; labelling alone if not given.
        like: data sets that the project resembles; the paper's if not given.
        seed: of the draws.

    Raises:
        InputError: if the pilot is too small to tell anything.
    """
    mask = AnnotationType.MASK.strength
    count = int((order == mask).sum())
    if count < _LEAST:
        problem = f"{count} images tell nothing about pseudo-masks"
        raise InputError("`count`", problem, f"give {_LEAST} or more; {IMAGES} are enough")
    times = LabellingTimes() if times is None else times
    names = tuple(like) or tuple(BUILT_IN)
    belief_rng, spend_rng, overhead_rng = np.random.default_rng(seed).spawn(3)
    drawn = with_overheads(draw_spend(stats, times, spend_rng, _DRAWS), overheads, overhead_rng)
    allocation = np.where(np.arange(len(ORDER)) == mask, count, 0)
    seconds = float((type_seconds(stats, times) * overhead_factors(overheads))[mask])
    return Pilot(
        images=order,
        hours=count * seconds / SECONDS_PER_HOUR,
        hours_interval=interval(drawn.spend_seconds(allocation) / SECONDS_PER_HOUR),
        beliefs=_beliefs(stats.images, names, belief_rng),
        like=names,
    )


def _beliefs(images: int, like: Sequence[str], rng: np.random.Generator) -> tuple[WorthBelief, ...]:
    surface = gather(images, rng, like=like, draws=_DRAWS).surface
    found = []
    for weak, now in zip(surface.types, surface.draws_at(0.0).T, strict=True):
        then = worth_draws(f1_for(float(np.median(now))), rng, _DRAWS)
        found.append(WorthBelief(weak, interval(now), interval(then)))
    return tuple(found)
