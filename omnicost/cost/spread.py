"""How far a cost may be off: project-wide factors, image statistics, single annotations.

Every factor is log-normal with mean 1, so the mean of the draws is the plain cost.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from omnicost.annotation import AnnotationType
from omnicost.cost.overheads import OverheadsByType, draw_shares, overhead_factors
from omnicost.cost.seconds import COUNTS, DEFAULT_TIMES, ORDER, counts
from omnicost.cost.stats import DatasetStats
from omnicost.cost.times import CONSTANTS, LabellingTimes


class Interval(NamedTuple):
    """The middle share of a distribution."""

    low: float
    high: float


def interval(draws: np.ndarray, level: float = 0.8) -> Interval:
    """The central interval that holds `level` of the draws."""
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def log_error(interval: tuple[float, float]) -> float:
    """Standard error of the logarithm of what has this 95% interval."""
    low, high = interval
    return float(np.log(high / low)) / (2 * 1.96)


def draw_type_seconds(
    stats: DatasetStats, times: LabellingTimes, rng: np.random.Generator, draws: int
) -> np.ndarray:
    """Mean seconds per image of each type under drawn times and statistics: (draws, T) float64.

    A row is one world: its times and statistics hold for every policy compared under it.
    """
    constants = times.constants() * _project_factors(times, rng, draws)
    c, n = _draw_statistics(stats, rng, draws)
    return np.einsum("dtk,dk->dt", counts(stats.classes, c, n), constants)


def image_variance(stats: DatasetStats, times: LabellingTimes = DEFAULT_TIMES) -> np.ndarray:
    """Variance of one image's seconds of each type around the type's mean: (T,) float64, s^2.

    Adds the spread of single annotations and, where it is known, that of c and n over images
    (the images as a sample: nothing is taken off when they are all that there are).
    """
    constants = times.constants()
    paid = counts(stats.classes, stats.classes_per_image, stats.instances_per_image)
    single = np.einsum("tk,k->t", paid, constants**2 * np.expm1(times.log_sds() ** 2))
    _, by_c, by_n = np.einsum("tks,k->st", COUNTS, constants)
    c_sd, n_sd = stats.classes_sd or 0.0, stats.instances_sd or 0.0
    covariance = stats.correlation * c_sd * n_sd
    return single + by_c**2 * c_sd**2 + by_n**2 * n_sd**2 + 2 * by_c * by_n * covariance


@dataclass(frozen=True)
class SpendDraws:
    """Common draws under which allocations of images are compared.

    Attributes:
        type_seconds: (D, T) mean seconds per image of each type in each draw.
        noise: (D, T) standard normal, what is left of single images and annotations.
        variance: (T,) variance of one image's seconds, s^2.
    """

    type_seconds: np.ndarray
    noise: np.ndarray
    variance: np.ndarray

    def spend_seconds(self, images: np.ndarray) -> np.ndarray:
        """Seconds that allocations take in each draw: (..., D) from images per type (..., T)."""
        images = np.asarray(images, dtype=np.float64)[..., None, :]
        total = images * self.type_seconds
        # A sum of positive parts stays positive: log-normal with the mean and variance of the sum.
        with np.errstate(divide="ignore", invalid="ignore"):
            relative = np.where(total > 0, images * self.variance / total**2, 0.0)
        log_variance = np.log1p(relative)
        factor = np.exp(np.sqrt(log_variance) * self.noise - log_variance / 2)
        return (total * factor).sum(axis=-1)


def draw_spend(
    stats: DatasetStats, times: LabellingTimes, rng: np.random.Generator, draws: int
) -> SpendDraws:
    """Draws of what any allocation of images over the types takes."""
    seconds = draw_type_seconds(stats, times, rng, draws)
    noise = np.stack(list(_normals(rng, draws, ORDER).values()), axis=1)
    return SpendDraws(seconds, noise, image_variance(stats, times))


def _project_factors(times: LabellingTimes, rng: np.random.Generator, draws: int) -> np.ndarray:
    """Project-wide factors on the constants: (draws, C), mean 1, equicorrelated over types."""
    shared = rng.standard_normal(draws)
    own = _normals(rng, draws, {constant.scaled_by for constant in CONSTANTS.values()})
    rho = times.project_correlation
    factors = {}
    for annotation, normal in own.items():
        sd = times.project_log_sd.of(annotation)
        log = sd * (np.sqrt(rho) * shared + np.sqrt(1 - rho) * normal) - sd**2 / 2
        factors[annotation] = np.exp(log)
    return np.stack([factors[constant.scaled_by] for constant in CONSTANTS.values()], axis=1)


def _normals(
    rng: np.random.Generator, draws: int, types: Iterable[AnnotationType]
) -> dict[AnnotationType, np.ndarray]:
    """Standard normals, (draws,) of each type: the same whatever other types there are."""
    seed = int(rng.integers(2**63))
    return {
        each: np.random.default_rng([seed, *each.encode()]).standard_normal(draws) for each in types
    }


def _draw_statistics(
    stats: DatasetStats, rng: np.random.Generator, draws: int
) -> tuple[np.ndarray, np.ndarray]:
    """Means c and n as far as a sample of images tells them: two arrays (draws,)."""
    first, second = rng.standard_normal((2, draws))
    c, n = np.full(draws, stats.classes_per_image), np.full(draws, stats.instances_per_image)
    if stats.measured_images is None:
        return c, n
    root = np.sqrt(stats.measured_images)
    rho = stats.correlation
    c += (stats.classes_sd or 0.0) / root * first
    n += (stats.instances_sd or 0.0) / root * (rho * first + np.sqrt(1 - rho**2) * second)
    c = np.clip(c, 0.0, stats.classes)
    return c, np.maximum(n, c)


def with_overheads(
    spend: SpendDraws, overheads: OverheadsByType | None, rng: np.random.Generator
) -> SpendDraws:
    """Draws of paid time from draws of labelling time; means are those of `overhead_factors`."""
    if overheads is None:
        return spend
    review, rework, idle = draw_shares(overheads, len(spend.type_seconds), rng)
    drawn = (1 + rework) * (1 + review) / (1 - idle)
    factors = overhead_factors(overheads)
    return replace(
        spend,
        type_seconds=spend.type_seconds * drawn * (factors / drawn.mean(axis=0)),
        variance=spend.variance * factors**2,
    )
