"""Times x statistics = seconds per image of every annotation type, as in the paper's Table 1."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from omnicost.annotation import AnnotationType, Policy
from omnicost.cost.stats import DatasetStats
from omnicost.cost.times import LabellingTimes

ORDER: Final = tuple(AnnotationType)
"""Order of the type axis, weakest first, of every array here."""
SECONDS_PER_HOUR: Final = 3600.0
DEFAULT_TIMES: Final = LabellingTimes()


def counts(classes: float, c: np.ndarray | float, n: np.ndarray | float) -> np.ndarray:
    """How often each constant is paid in an average image: (..., types, constants) float64.

    With K classes asked, c present and n instances: a class image pays K tags; the others pay a
    tag for each of the K - c absent classes, and their points, boxes or masks.
    """
    c, n = np.broadcast_arrays(np.asarray(c, dtype=np.float64), np.asarray(n, dtype=np.float64))
    out = np.zeros((*c.shape, len(ORDER), 5))
    out[..., 1, 0] = classes
    out[..., 2:, 0] = (classes - c)[..., None]
    out[..., 2, 1] = c
    out[..., 2, 2] = n - c
    out[..., 3, 3] = n
    out[..., 4, 4] = n
    return out


def type_seconds(stats: DatasetStats, times: LabellingTimes = DEFAULT_TIMES) -> np.ndarray:
    """Mean seconds per image of none, class, point, box, mask: (5,) float64."""
    paid = counts(stats.classes, stats.classes_per_image, stats.instances_per_image)
    return paid @ times.constants()


def seconds_per_image(
    what: Policy | AnnotationType,
    stats: DatasetStats,
    times: LabellingTimes = DEFAULT_TIMES,
) -> float:
    """Mean seconds per image of an annotation type or of a policy over all its images."""
    seconds = type_seconds(stats, times)
    if isinstance(what, AnnotationType):
        return float(seconds[what.strength])
    return float(sum(share * seconds[kind.strength] for kind, share in what.shares))


def saving(policy: Policy, stats: DatasetStats, times: LabellingTimes = DEFAULT_TIMES) -> float:
    """How many times cheaper than masks on every image; infinite if the policy costs nothing."""
    cost = seconds_per_image(policy, stats, times)
    full = seconds_per_image(AnnotationType.MASK, stats, times)
    return full / cost if cost > 0 else np.inf


def hours(seconds: float) -> float:
    """Seconds as hours."""
    return seconds / SECONDS_PER_HOUR


def money(seconds: float, wage_per_hour: float) -> float:
    """Seconds of work in the currency of the wage."""
    return hours(seconds) * wage_per_hour


class Term(NamedTuple):
    """One product in a type's cost: so many annotations at so many seconds each."""

    constant: str
    formula: str
    annotations: float
    seconds: float

    @property
    def total_seconds(self) -> float:
        """The product."""
        return self.annotations * self.seconds


def arithmetic(
    kind: AnnotationType, stats: DatasetStats, times: LabellingTimes = DEFAULT_TIMES
) -> tuple[Term, ...]:
    """The terms whose sum is the type's seconds per image, those that are never paid left out."""
    from omnicost.cost.times import CONSTANTS

    paid = counts(stats.classes, stats.classes_per_image, stats.instances_per_image)
    row = paid[kind.strength]
    formulas = _FORMULAS[kind]
    return tuple(
        Term(name, formulas[name], float(annotations), getattr(times, name).seconds)
        for name, annotations in zip(CONSTANTS, row, strict=True)
        if name in formulas
    )


_FORMULAS: Final[dict[AnnotationType, dict[str, str]]] = {
    AnnotationType.NONE: {},
    AnnotationType.CLASS: {"tag": "K"},
    AnnotationType.POINT: {"tag": "K - c", "point_first": "c", "point_further": "n - c"},
    AnnotationType.BOX: {"tag": "K - c", "box": "n"},
    AnnotationType.MASK: {"tag": "K - c", "mask": "n"},
}
