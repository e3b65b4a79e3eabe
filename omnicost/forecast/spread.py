"""How far runs of one cell scatter: a standard deviation on a grid, weighted by what is known.

Only repeats measure it. Before any, a schedule that others published is taken to be as steady as
such runs are, any other schedule may be far less so. Repeats of data sets that share a schedule
count too, up to how far data sets differ. Part of the scatter is common to all runs of a seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from scipy.special import logsumexp, softmax

from omnicost.forecast.observations import Observations
from omnicost.results import PUBLISHED

SIGMAS: Final = np.geomspace(0.12, 6.0, 8)
"""Standard deviations of AP between runs of a cell, percent."""
COMMON: Final = np.array([0.2, 0.6])
"""Parts of that variance that all runs of a seed may share; the three-seed demo has 0.4."""
_PUBLISHED: Final = (0.4, 0.7)
"""Median, and standard deviation of the log, for published schedules."""
_UNKNOWN: Final = (1.5, 1.0)
"""The same for any other: measured spreads of short ones lie between 0.5 and 4 (LOG.md)."""
_BETWEEN_DATASETS: Final = 0.4
"""Standard deviation of the log between data sets that share a schedule; assumed."""


def log_weights(own: Observations, others: Sequence[Observations] = ()) -> np.ndarray:
    """Log weight of each of `SIGMAS` with each of `COMMON`: (S, C).

    Args:
        own: runs of the data set; their repeats count in full.
        others: runs of other data sets; those of the same schedule count as far as they tell.
    """
    median, log_sd = _PUBLISHED if own.schedule == PUBLISHED else _UNKNOWN
    weight = -0.5 * (np.log(SIGMAS / median) / log_sd) ** 2
    kin = [one for one in others if one.schedule == own.schedule and one.repeats]
    if kin:
        step = np.log(SIGMAS)[:, None] - np.log(SIGMAS)
        blur = -0.5 * (step / _BETWEEN_DATASETS) ** 2
        blur -= logsumexp(blur, axis=1, keepdims=True)
        for one in kin:
            seen = logsumexp(repeats_log_likelihood(one), axis=1)
            weight = weight + logsumexp(blur + seen, axis=1)
        weight = logsumexp(blur + weight[:, None], axis=0)
    total: np.ndarray = weight[:, None] + repeats_log_likelihood(own)
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
    variance = SIGMAS[:, None, None] ** 2 * (1 - COMMON[:, None] + COMMON[:, None] * parts)
    total: np.ndarray = -0.5 * (np.log(variance) + difference**2 / variance).sum(axis=-1)
    return total


def expected_sd(own: Observations, others: Sequence[Observations] = ()) -> float:
    """Root of the mean variance of AP between runs, percent."""
    weight = softmax(log_weights(own, others))
    return float(np.sqrt((weight.sum(axis=1) * SIGMAS**2).sum()))
