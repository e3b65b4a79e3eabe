"""A surface for a project that has no sweep of its own, from data sets that have one.

What is carried over is the worth of a pseudo-labelled image on the logit scale, at the project's
own numbers of masks. With R references the new project is drawn from the multivariate t
distribution with R - 1 degrees of freedom whose scatter is that of the references, so each single
worth has the textbook predictive t interval for one more observation, and types move together as
the references do. Measured students of the project (a pilot) replace this by a fit of their own, to
which the references are the prior.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from scipy.special import expit, logit, ndtri, stdtrit

from omnicost.annotation import WEAK_TYPES
from omnicost.errors import InputError
from omnicost.plan.observations import PRIOR_NOISE_SD, Observations
from omnicost.plan.shape import Shape
from omnicost.plan.surface import Levels, Surface, fit_surface

WEAK_EVIDENCE: Final = 3
"""Up to so many references the evidence is called weak."""
_WORTH_LIMIT: Final = 0.002
"""Worth is kept this far from 0 and 1, under the seed noise, where the logit would run away."""
_TYPE_CORRELATION: Final = 0.5
"""Assumed correlation over types of how far a project stands from the references."""
_KNOTS: Final = 40


def transfer(
    references: Sequence[Surface], images: int, rng: np.random.Generator, draws: int = 1000
) -> Surface:
    """The surface of a project like the references, in shares of its own full supervision.

    Raises:
        InputError: under two references, or if they share no weak type.
    """
    _require_references(references)
    shared = tuple(k for k in WEAK_TYPES if all(k in one.types for one in references))
    if not shared:
        raise InputError("--like", "the references share no weak type", "choose others")
    knots = np.unique(np.concatenate([[0.0], np.geomspace(1, max(images, 2), _KNOTS)]))
    chosen = [one.restricted(shared) for one in references]
    logits = np.stack([_logit(_resampled(one, knots, rng, draws)) for one in chosen])
    centre = np.stack([_logit(one.at(knots)) for one in chosen]).mean(axis=0)
    scale = float(np.mean([one.scale for one in references]))
    return Surface(
        types=shared,
        knots=knots,
        worth=_monotone(expit(centre)),
        worth_draws=_monotone(expit(_predictive_draws(logits, rng))),
        full=None,
        full_draws=np.full(draws, scale),
        scale=scale,
        noise_sd=float(np.mean([one.noise_sd for one in references])),
        tested_masks=np.max([one.tested_masks for one in chosen], axis=0),
    )


def pilot_surface(
    pilot: Observations,
    references: Sequence[Surface],
    shape: Shape,
    images: int,
    rng: np.random.Generator,
    draws: int = 1000,
) -> Surface:
    """The surface of a project from a few students of its own, the references being the prior.

    Raises:
        InputError: under two references.
    """
    _require_references(references)
    levels = learn_levels(references)
    return fit_surface(pilot, shape, rng, draws, largest=images, levels=levels)


def learn_levels(references: Sequence[Surface]) -> Levels:
    """Expectation and covariance of a new project's deficits at no masks.

    The spread between references is pooled over types: two or three of them say too little about
    each. A type that no reference has stays where the others are on average.
    """
    known = np.full((len(references), len(WEAK_TYPES)), np.nan)
    for row, surface in enumerate(references):
        for position, kind in enumerate(surface.types):
            known[row, WEAK_TYPES.index(kind)] = _logit(surface.at(0.0)[position])
    seen = ~np.isnan(known)
    counts = seen.sum(axis=0)
    means = np.where(counts > 0, np.where(seen, known, 0).sum(axis=0) / np.maximum(counts, 1), 0)
    means = np.where(counts > 0, means, means[counts > 0].mean())
    freedom = max(int((counts[counts > 0] - 1).sum()), 1)
    squares = np.where(seen, known - means, 0.0) ** 2
    spread = np.sqrt(squares.sum() / freedom * (1 + 1 / len(references)))
    worth = expit(means)
    # Few references know the spread badly; pooled over types that move together, about as well as
    # twice as many would. Widened so that a normal prior has the t's 80% interval.
    spread *= stdtrit(2 * (len(references) - 1), 0.9) / ndtri(0.9)
    sds = np.maximum(spread * worth * (1 - worth), PRIOR_NOISE_SD / 100)
    correlation = np.full((len(means), len(means)), _TYPE_CORRELATION)
    np.fill_diagonal(correlation, 1.0)
    return Levels(1 - worth, correlation * np.outer(sds, sds))


def _predictive_draws(logits: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Multivariate t draws around references: (D, T, K) from their draws (R, D, T, K)."""
    count, draws = logits.shape[:2]
    freedom = count - 1
    mean = logits.mean(axis=0)
    deviations = (logits - mean) / np.sqrt(freedom)
    directions = rng.standard_normal((count, draws, 1, 1))
    stretch = np.sqrt(freedom / rng.chisquare(freedom, (draws, 1, 1)))
    step = (directions * deviations).sum(axis=0)
    drawn: np.ndarray = mean + np.sqrt(1 + 1 / count) * stretch * step
    return drawn


def _resampled(
    surface: Surface, knots: np.ndarray, rng: np.random.Generator, draws: int
) -> np.ndarray:
    """Draws of one reference at the knots: (draws, T, K)."""
    chosen = rng.integers(0, len(surface.worth_draws), draws)
    return surface.draws_at(knots)[chosen]


def _monotone(worth: np.ndarray) -> np.ndarray:
    """More masks never make a teacher worse, also where drawn curves cross."""
    rising: np.ndarray = np.maximum.accumulate(worth, axis=-1)
    return rising


def _logit(worth: np.ndarray) -> np.ndarray:
    bounded: np.ndarray = logit(np.clip(worth, _WORTH_LIMIT, 1 - _WORTH_LIMIT))
    return bounded


def _require_references(references: Sequence[Surface]) -> None:
    if len(references) < 2:
        problem = f"{len(references)} reference says nothing about how far projects differ"
        raise InputError("--like", problem, "name two or more, such as coco,ade20k")
