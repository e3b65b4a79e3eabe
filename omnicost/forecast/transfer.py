"""A surface for a project that has no sweep of its own, from data sets that have one.

What is carried over is the worth of a pseudo-labelled image on the logit scale, at the project's
own numbers of masks. With R references the new project is drawn from the multivariate t
distribution with R - 1 degrees of freedom whose scatter is that of the references, so each single
worth has the textbook predictive t interval for one more observation, and types move together as
the references do. Measured students of the project (a pilot) narrow draws of this kind down.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from scipy.special import expit, logit, ndtri, stdtrit

from omnicost.annotation import WEAK_TYPES, AnnotationType
from omnicost.errors import InputError
from omnicost.forecast.model import axis
from omnicost.forecast.observations import Observations
from omnicost.forecast.spread import expected_sd
from omnicost.forecast.surface import Surface, interpolate

WEAK_EVIDENCE: Final = 3
"""Up to so many references the evidence is called weak."""
_WORTH_LIMIT: Final = 0.002
"""Worth is kept this far from 0 and 1, under the seed noise, where the logit would run away."""
_TYPE_CORRELATION: Final = 0.5
"""Assumed correlation over types of how far a project stands from the references."""
_SLOPE: Final = 0.5
"""Assumed spread of how much more or less than for the references masks help, beside that of the
level."""
_FULL_LOG_SD: Final = 0.5
"""Spread of the log AP of full supervision between data sets; the paper's three have 0.25."""
_STEPS: Final = 8
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
        raise InputError("`like`", "the references share no weak type", "choose others")
    knots = _knots(images)
    chosen = [one.restricted(shared) for one in references]
    logits = np.stack([_logit(_resampled(one, knots, rng, draws)) for one in chosen])
    centre = np.stack([_logit(one.at(knots)) for one in chosen]).mean(axis=0)
    scale = float(np.mean([one.scale for one in references]))
    return Surface(
        types=shared,
        knots=knots,
        worth=expit(centre),
        worth_draws=expit(_predictive_draws(logits, rng)),
        full=None,
        full_draws=np.full(draws, scale),
        scale=scale,
        run_draws=_of_any([one.run_draws for one in chosen], draws, rng),
        misfit_draws=_of_any([one.misfit_draws for one in chosen], draws, rng),
    )


def pilot_surface(
    pilot: Observations,
    references: Sequence[Surface],
    images: int,
    rng: np.random.Generator,
    draws: int = 1000,
) -> Surface:
    """The surface of a project from a few students of its own, the references being the prior.

    Draws from the references are conditioned on the pilot by an ensemble smoother with multiple
    data assimilation (Emerick and Reynolds, Computers & Geosciences 2013): each step moves every
    draw by the regression of worths on predicted pilots, towards the pilot with noise of its own.

    Raises:
        InputError: under two references, or if the pilot has a type that none of them has.
    """
    _require_references(references)
    types = tuple(k for k in WEAK_TYPES if any(k in one.types for one in references))
    unknown = [annotation for annotation in pilot.types if annotation not in types]
    if unknown:
        problem = f"no reference has students of {', '.join(unknown)}"
        raise InputError("`like`", problem, "name data sets that have them")
    knots = _knots(max(images, pilot.images))
    logits = _prior_draws(references, types, knots, rng, draws)
    scale = float(np.mean([one.scale for one in references]))
    full = np.log(scale) + _FULL_LOG_SD * rng.standard_normal((draws, 1))
    state = np.concatenate([logits.reshape(draws, -1), full], axis=1)
    state = _assimilate(state, pilot, types, knots, rng)
    worth = expit(state[:, :-1].reshape(draws, len(types), len(knots)))
    fulls = np.exp(state[:, -1])
    mean_full = float(fulls.mean())
    return Surface(
        types=types,
        knots=knots,
        worth=(worth * fulls[:, None, None]).mean(axis=0) / mean_full,
        worth_draws=worth,
        full=mean_full,
        full_draws=fulls,
        scale=mean_full,
        run_draws=expected_sd(pilot) / mean_full * rng.standard_normal(draws),
        misfit_draws=np.zeros((draws, len(types))),
    )


def _knots(largest: int) -> np.ndarray:
    """Numbers of masks from none to the largest: (K,)."""
    return np.unique(np.append(0.0, np.geomspace(1, max(largest, 2), _KNOTS)))


def _prior_draws(
    references: Sequence[Surface],
    types: Sequence[AnnotationType],
    knots: np.ndarray,
    rng: np.random.Generator,
    draws: int,
) -> np.ndarray:
    """Normal draws of a new project's worths on the logit scale: (D, T, K).

    The spread between references is pooled over types, since two or three of them say too little
    about each, and widened to the 80% interval of Student's t. Part of it is common to all types,
    part each type's own, part a type's own slope over the masks.
    """
    means, squares, freedom = [], 0.0, 0
    for annotation in types:
        own = [one.restricted((annotation,)) for one in references if annotation in one.types]
        drawn = np.stack([_logit(_resampled(one, knots, rng, draws))[:, 0] for one in own])
        means.append(drawn.mean(axis=0))
        levels = drawn.mean(axis=1)[:, 0]
        squares += float(((levels - levels.mean()) ** 2).sum())
        freedom += len(own) - 1
    few = len(references) - 1
    spread = np.sqrt(squares / max(freedom, 1) * (1 + 1 / len(references)))
    spread *= stdtrit(2 * few, 0.9) / ndtri(0.9)
    common = rng.standard_normal((draws, 1, 1))
    own_level, own_slope = rng.standard_normal((2, draws, len(types), 1))
    along = axis(knots) / axis(knots)[-1]
    step = np.sqrt(_TYPE_CORRELATION) * common + np.sqrt(1 - _TYPE_CORRELATION) * own_level
    prior: np.ndarray = np.stack(means, axis=1) + spread * (step + _SLOPE * own_slope * along)
    return prior


def _assimilate(
    state: np.ndarray,
    pilot: Observations,
    types: Sequence[AnnotationType],
    knots: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Draws (D, T * K + 1) of logit worths and log full AP, conditioned on the pilot."""
    noise = expected_sd(pilot) * np.sqrt(_STEPS)
    for _ in range(_STEPS):
        predicted = _predict(state, pilot, types, knots)
        off = predicted - predicted.mean(axis=0)
        covariance = off.T @ off / (len(state) - 1) + noise**2 * np.eye(len(pilot.ap))
        cross = off.T @ (state - state.mean(axis=0)) / (len(state) - 1)
        target = pilot.ap + noise * rng.standard_normal(predicted.shape)
        state = state + (target - predicted) @ np.linalg.solve(covariance, cross)
    return state


def _predict(
    state: np.ndarray, pilot: Observations, types: Sequence[AnnotationType], knots: np.ndarray
) -> np.ndarray:
    """AP of the pilot's students in each draw: (D, R)."""
    logits = state[:, :-1].reshape(len(state), len(types), len(knots))
    shares = np.ones((len(state), len(pilot.ap)))
    for index, (weak, masks) in enumerate(zip(pilot.weak, pilot.masks, strict=True)):
        if weak >= 0:
            curve = logits[:, types.index(WEAK_TYPES[weak])]
            worth = expit(interpolate(knots, curve, np.asarray(masks)))
            shares[:, index] = pilot.share[index] + (1 - pilot.share[index]) * worth
    predicted: np.ndarray = np.exp(state[:, -1:]) * shares
    return predicted


def _of_any(drawn: Sequence[np.ndarray], draws: int, rng: np.random.Generator) -> np.ndarray:
    """Draws of one reference or another: (draws, ...)."""
    pooled = np.concatenate(drawn)
    return pooled[rng.integers(0, len(pooled), draws)]


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


def _logit(worth: np.ndarray) -> np.ndarray:
    bounded: np.ndarray = logit(np.clip(worth, _WORTH_LIMIT, 1 - _WORTH_LIMIT))
    return bounded


def _require_references(references: Sequence[Surface]) -> None:
    if len(references) < 2:
        problem = "one data set says nothing about how far projects differ"
        remedy = "name two or more, such as coco,ade20k, or plan as if yours were it with `dataset`"
        raise InputError("`like`", problem, remedy)
