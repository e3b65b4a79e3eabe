"""How far runs of one cell scatter: standard deviations on a grid, weighted by what is known.

A run differs from its cell's expectation by an effect of its own and by one that all runs of its
seed share. The two are unknown apart: runs of one seed may lie on a smooth curve and all be 2 AP
too high, which no other cell of that seed shows. Only repeats measure them. Before any, a schedule
that others published is taken to be as steady as such runs are, any other may be far less so.
Repeats of data sets that share a schedule count too, up to how far data sets differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from scipy.special import softmax

from omnicost.forecast.observations import Observations
from omnicost.results import PUBLISHED

OWN: Final = np.geomspace(0.1, 5.0, 7)
"""Standard deviations of AP between runs of a cell and a seed, percent."""
COMMON: Final = np.geomspace(0.1, 4.0, 6)
"""The same of what the runs of a seed have in common."""
_PUBLISHED: Final = (0.4, 0.7)
"""Median of both together, and standard deviation of each one's log, for published schedules."""
_UNKNOWN: Final = (1.5, 1.0)
"""The same for any other: measured spreads of short ones lie between 0.5 and 4 (LOG.md)."""
_COMMON_PART: Final = 0.4
"""Part of the variance that is common, at the medians; a three-seed demo had 0.4, another 0.9."""
_BETWEEN_DATASETS: Final = 0.4
"""Standard deviation of either log between data sets that share a schedule; assumed."""


def medians(schedule: str) -> tuple[float, float, float]:
    """Medians of the own and the common scatter before any repeat, and their log's deviation."""
    median, log_sd = _PUBLISHED if schedule == PUBLISHED else _UNKNOWN
    return median * np.sqrt(1 - _COMMON_PART), median * np.sqrt(_COMMON_PART), log_sd


def log_weights(own: Observations, others: Sequence[Observations] = ()) -> np.ndarray:
    """Log weight of each of `OWN` with each of `COMMON`: (S, C).

    Args:
        own: runs of the data set; their repeats count in full.
        others: runs of other data sets; those of the same schedule count as far as they tell.
    """
    alone, common, log_sd = medians(own.schedule)
    weight = -0.5 * (np.log(OWN / alone) / log_sd)[:, None] ** 2
    weight = weight - 0.5 * (np.log(COMMON / common) / log_sd) ** 2
    kin = [one for one in others if one.schedule == own.schedule and one.repeats]
    if kin:
        blur_own, blur_common = _blur(OWN), _blur(COMMON)
        for one in kin:
            weight = weight + _blurred(repeats_log_likelihood(one), blur_own, blur_common)
        weight = _blurred(weight, blur_own.T, blur_common.T)
    total: np.ndarray = weight + repeats_log_likelihood(own)
    return total


def _blur(scale: np.ndarray) -> np.ndarray:
    """Chance of a data set's deviation given its schedule's, a row each."""
    step = np.log(scale)[:, None] - np.log(scale)
    chance: np.ndarray = softmax(-0.5 * (step / _BETWEEN_DATASETS) ** 2, axis=1)
    return chance


def _blurred(log: np.ndarray, own: np.ndarray, common: np.ndarray) -> np.ndarray:
    peak = log.max()
    total: np.ndarray = peak + np.log(own @ np.exp(log - peak) @ common.T + np.finfo(float).tiny)
    return total


def repeats_log_likelihood(runs: Observations) -> np.ndarray:
    """Log-likelihood of the differences between runs of one cell: (S, C); 0 without repeats."""
    count = len(runs.ap)
    same_cell = runs.cell[:, None] == runs.cell
    within = np.eye(count) - same_cell / same_cell.sum(axis=1)
    values, vectors = np.linalg.eigh(within)
    basis = vectors[:, values > 0.5]
    same_seed = (runs.seed[:, None] == runs.seed).astype(float)
    parts, axes = np.linalg.eigh(basis.T @ same_seed @ basis)
    difference = axes.T @ (basis.T @ runs.ap)
    variance = OWN[:, None, None] ** 2 + COMMON[:, None] ** 2 * np.maximum(parts, 0.0)
    total: np.ndarray = -0.5 * (np.log(variance) + difference**2 / variance).sum(axis=-1)
    return total


def expected_sd(own: Observations, others: Sequence[Observations] = ()) -> float:
    """Root of the mean variance of AP between runs of different seeds, percent."""
    weight = softmax(log_weights(own, others))
    return float(np.sqrt((weight * (OWN[:, None] ** 2 + COMMON**2)).sum()))


def typical_sds(own: Observations) -> tuple[float, float]:
    """Geometric means of a run's own scatter and of what the runs of a seed share, percent."""
    weight = softmax(log_weights(own))
    alone, common = weight.sum(axis=1) @ np.log(OWN), weight.sum(axis=0) @ np.log(COMMON)
    return float(np.exp(alone)), float(np.exp(common))
