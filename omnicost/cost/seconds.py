"""Times x statistics = seconds per image of every annotation type, as in the paper's Table 1."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from omnicost.annotation import AnnotationType, Policy
from omnicost.cost.stats import DatasetStats
from omnicost.cost.times import CONSTANTS, PAYS, Count, LabellingTimes

ORDER: Final = tuple(AnnotationType)
"""Order of the type axis, weakest first, of every array here."""
SECONDS_PER_HOUR: Final = 3600.0
DEFAULT_TIMES: Final = LabellingTimes()


COUNTS: Final = np.array(
    [[PAYS[each].get(name, Count()) for name in CONSTANTS] for each in ORDER], dtype=np.float64
)
"""`PAYS` as an array over types, constants and (K, c, n): (T, C, 3)."""


def counts(classes: float, c: np.ndarray | float, n: np.ndarray | float) -> np.ndarray:
    """How often each constant is paid in an average image: (..., T, C) float64.

    Args:
        classes: K, classes asked.
        c: of them present.
        n: instances.
    """
    sizes = np.stack(np.broadcast_arrays(np.float64(classes), c, n), axis=-1)
    paid: np.ndarray = np.einsum("tks,...s->...tk", COUNTS, sizes)
    return paid


def type_seconds(stats: DatasetStats, times: LabellingTimes = DEFAULT_TIMES) -> np.ndarray:
    """Mean seconds per image of each type, in the order of `ORDER`: (T,) float64."""
    paid = counts(stats.classes, stats.classes_per_image, stats.instances_per_image)
    # Not `@`: a constant that is never paid then changes no bit of the sum.
    seconds: np.ndarray = np.einsum("tk,k->t", paid, times.constants())
    return seconds


def seconds_paid_again(stats: DatasetStats, times: LabellingTimes = DEFAULT_TIMES) -> float:
    """Seconds of any label on an average image that any weaker label has paid already.

    It is what all types share: tags of absent classes. Raising a label costs that much less.
    """
    paid = counts(stats.classes, stats.classes_per_image, stats.instances_per_image)[1:]
    return float(np.einsum("k,k->", paid.min(axis=0), times.constants()))


def seconds_per_image(
    what: Policy | AnnotationType, stats: DatasetStats, times: LabellingTimes = DEFAULT_TIMES
) -> float:
    """Mean seconds per image of an annotation type or of a policy over all its images."""
    seconds = type_seconds(stats, times)
    if isinstance(what, AnnotationType):
        return float(seconds[what.strength])
    return float(sum(share * seconds[annotation.strength] for annotation, share in what.shares))


def saving(policy: Policy, stats: DatasetStats, times: LabellingTimes = DEFAULT_TIMES) -> float:
    """How many times cheaper than masks on every image; infinite if the policy costs nothing."""
    cost = seconds_per_image(policy, stats, times)
    full = seconds_per_image(AnnotationType.MASK, stats, times)
    return full / cost if cost > 0 else np.inf


def hours(seconds: float) -> float:
    """Seconds as hours."""
    return seconds / SECONDS_PER_HOUR


class Term(NamedTuple):
    """One product in a type's cost: so many annotations at so many seconds each."""

    constant: str
    formula: str
    annotations: float
    seconds: float


def arithmetic(
    annotation: AnnotationType, stats: DatasetStats, times: LabellingTimes = DEFAULT_TIMES
) -> tuple[Term, ...]:
    """The terms whose sum is the type's seconds per image, those that are never paid left out."""
    return tuple(
        Term(name, str(count), float(count.of(stats)), getattr(times, name).seconds)
        for name, count in PAYS[annotation].items()
    )
