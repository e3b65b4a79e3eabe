"""The two questions, answered exactly: most AP for a budget, least cost for an AP.

Beside a given number of masks, AP is linear in the images of each weak type, so two weak types
suffice and the best pair is a point of the concave hull over types (`pareto.best_mix`). Every
number of masks from none to all images is tried, so nothing is lost to a grid. Rounding to whole
images always goes to the side that keeps the budget or the target.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from omnicost.annotation import AnnotationType
from omnicost.cost import ORDER, SECONDS_PER_HOUR, SpendDraws
from omnicost.errors import InputError
from omnicost.forecast.surface import Surface
from omnicost.pareto import Mix, best_mix

MASK: Final = AnnotationType.MASK.strength
_CHUNK: Final = 200_000
# Images: below this, a fraction of an image is rounding noise of the division before.
_ROUNDING: Final = 1e-6
_TIE: Final = 1e-12


@dataclass(frozen=True)
class Problem:
    """What is to be divided.

    Attributes:
        images: how many there are.
        seconds: (T,) mean seconds per image of each type, in the order of `cost.ORDER`.
        surface: what images of each weak type are worth; only its types are used.
        masks_allowed: whether masks may be drawn at all.
        in_hand: (T,) images that have a label of each type already; None where none has.
        paid_again: seconds of a new label that an image with any label has paid before.
    """

    images: int
    seconds: np.ndarray
    surface: Surface
    masks_allowed: bool = True
    in_hand: np.ndarray | None = None
    paid_again: float = 0.0

    @property
    def held(self) -> np.ndarray:
        """Images with a label of each type in hand: (T,) int64; 0 for `none`."""
        return np.zeros(len(ORDER), np.int64) if self.in_hand is None else self.in_hand

    def new_labels(self, images: np.ndarray) -> np.ndarray:
        """Labels of each type that allocations (..., T) need beyond those in hand: (..., T)."""
        new: np.ndarray = np.maximum(np.asarray(images) - self.held, 0)
        return new

    @property
    def strengths(self) -> np.ndarray:
        """Positions of the surface's types on the type axis: (T,) int64."""
        return np.array([annotation.strength for annotation in self.surface.types], dtype=np.int64)

    @property
    def weak_seconds(self) -> np.ndarray:
        """Seconds per image of the surface's types: (T,)."""
        return self.seconds[self.strengths]

    def masks(self) -> np.ndarray:
        """Every number of masks that may be chosen: (M,) int64."""
        return np.arange(self.images + 1 if self.masks_allowed else 1)

    def mask_grid(self, ratio: float = 1.03) -> np.ndarray:
        """Numbers of masks from none to all, dense enough for draws: (G,) int64."""
        steps = int(np.log(max(self.images, 2)) / np.log(ratio)) + 2
        grid = np.unique(np.geomspace(1, self.images, steps).round().astype(np.int64))
        return np.append(0, grid) if self.masks_allowed else np.zeros(1, np.int64)

    def cost(self, images: np.ndarray) -> np.ndarray:
        """Seconds that the new labels of allocations (..., T) take on average: (...,)."""
        raised = np.maximum(self.held - np.asarray(images), 0).sum(axis=-1)
        total: np.ndarray = self.new_labels(images) @ self.seconds - raised * self.paid_again
        return total

    def keeps(self, images: np.ndarray, max_hours: Mapping[AnnotationType, float]) -> np.ndarray:
        """Whether new labels of allocations (..., T) take no more than types' hours: (...,)."""
        limited = [annotation.strength for annotation in max_hours]
        taken = self.new_labels(images)[..., limited] * self.seconds[limited]
        allowed = np.array([*max_hours.values()]) * SECONDS_PER_HOUR * (1 + 1e-9)
        within: np.ndarray = (taken <= allowed).all(axis=-1)
        return within

    def share_of_full(self, images: np.ndarray) -> np.ndarray:
        """Expected AP of allocations (..., T) as a share of full supervision: (...,)."""
        images = np.asarray(images)
        masks = images[..., MASK]
        worth = np.moveaxis(self.surface.at(masks), 0, -1)
        total: np.ndarray = masks + (images[..., self.strengths] * worth).sum(axis=-1)
        return total / self.images


def new_spend_seconds(problem: Problem, spend: SpendDraws, images: np.ndarray) -> np.ndarray:
    """Seconds that the new labels of an allocation (T,) take in each draw: (D,)."""
    new = problem.new_labels(images)
    drawn, full_price = spend.spend_seconds(new), float(new @ problem.seconds)
    return drawn * (float(problem.cost(images)) / full_price) if full_price else drawn


def best_for_budget(
    problem: Problem, budget_seconds: float, masks: np.ndarray | None = None
) -> np.ndarray:
    """Images per type, (T,) int64, with the most expected AP; the cheapest of equally good ones.

    Args:
        problem: what is to be divided.
        budget_seconds: what may be spent at mean times.
        masks: numbers of masks to try; all of them if not given.

    Raises:
        InputError: if the budget does not reach for any policy.
    """
    require_affordable(problem, budget_seconds)
    found = [_best_beside(problem, some, budget_seconds) for some in _chunks(problem, masks)]
    candidates = np.concatenate(found)
    share = problem.share_of_full(candidates)
    tied = np.flatnonzero(share >= share.max() - _TIE)
    best: np.ndarray = candidates[tied[problem.cost(candidates[tied]).argmin()]]
    return best


def cheapest_for_target(
    problem: Problem, target: float, masks: np.ndarray | None = None
) -> np.ndarray:
    """Images per type, (T,) int64, at least cost whose expected share reaches the target.

    Args:
        problem: what is to be divided.
        target: share of full supervision.
        masks: numbers of masks to try; all of them if not given.

    Raises:
        InputError: if no policy reaches it.
    """
    found = [_cheapest_beside(problem, some, target) for some in _chunks(problem, masks)]
    candidates = np.concatenate(found)
    candidates = candidates[problem.share_of_full(candidates) >= target - _TIE]
    if not len(candidates):
        everything = best_for_budget(problem, problem.images * problem.seconds.max(), masks)
        reached = float(problem.share_of_full(everything))
        remedy = f"ask for {reached:.1%} or less, or allow more types"
        raise InputError("`target`", f"{target:.1%} of full supervision is out of reach", remedy)
    cheapest: np.ndarray = candidates[problem.cost(candidates).argmin()]
    return cheapest


def require_affordable(problem: Problem, budget_seconds: float) -> None:
    """Refuse a budget under the cheapest policy, saying how far it would reach.

    Raises:
        InputError: naming the cheapest policy and its hours.
    """
    types = [*problem.surface.types, *([AnnotationType.MASK] if problem.masks_allowed else [])]
    cheapest = min(types, key=lambda each: problem.seconds[each.strength])
    seconds = float(problem.seconds[cheapest.strength])
    if seconds * problem.images > budget_seconds:
        reach = int(budget_seconds / seconds)
        need = seconds * problem.images / SECONDS_PER_HOUR
        everywhere = f"{cheapest} on all {problem.images:,} images: {need:,.4g} h"
        given = f"{budget_seconds / SECONDS_PER_HOUR:,.4g} h"
        remedy = f"raise it, allow a cheaper type with `types`, or label {reach:,} images"
        raise InputError("`budget`", f"{given} is under the cheapest policy ({everywhere})", remedy)


def _chunks(problem: Problem, masks: np.ndarray | None = None) -> Iterator[np.ndarray]:
    masks = problem.masks() if masks is None else masks
    for start in range(0, len(masks), _CHUNK):
        yield masks[start : start + _CHUNK]


def mix_beside(problem: Problem, masks: np.ndarray, budget: float) -> Mix:
    """The best mixture of weak types that is left for beside each number of masks: (M,)."""
    rest = np.maximum(problem.images - masks, 1)
    # A hair more than is left, or the division could cost a policy that fits exactly its place.
    most, on_masks = budget * (1 + _TIE), masks * problem.seconds[MASK]
    each = np.where(on_masks <= most, np.maximum((most - on_masks) / rest, 0.0), -1.0)
    return best_mix(problem.weak_seconds, problem.surface.at(masks).T, each)


def _best_beside(problem: Problem, masks: np.ndarray, budget: float) -> np.ndarray:
    """The best affordable allocation beside each number of masks: (M', T), others left out."""
    mix = mix_beside(problem, masks, budget)
    images = _allocate(problem, masks, mix)
    # The rounding tolerance may have let one image too many through.
    over = problem.cost(images) > budget * (1 + _TIE)
    images[over] = _allocate(problem, masks, mix, fewer=1)[over]
    kept = np.isfinite(mix.value) | (masks == problem.images)
    return images[kept & (problem.cost(images) <= budget * (1 + _TIE))]


def _cheapest_beside(problem: Problem, masks: np.ndarray, target: float) -> np.ndarray:
    """The cheapest allocation beside each number of masks whose rest is worth enough: (M', T).

    The same hull with its axes swapped: dearness is lack of worth, value is cheapness.
    """
    rest = problem.images - masks
    needed = target * problem.images - masks
    each = np.divide(needed, rest, where=rest > 0, out=np.zeros(len(masks)))
    cheapness = np.broadcast_to(-problem.weak_seconds, (len(masks), len(problem.weak_seconds)))
    mix = best_mix(-problem.surface.at(masks).T, cheapness, -each)
    return _allocate(problem, masks, mix)[np.isfinite(mix.value) | (rest == 0)]


def _allocate(problem: Problem, masks: np.ndarray, mix: Mix, fewer: int = 0) -> np.ndarray:
    """Whole images per type: (M, T); the dear side is rounded down, and by `fewer` more."""
    rest = problem.images - masks
    upper = np.floor(mix.weight * rest + _ROUNDING).astype(np.int64)
    upper = np.clip(upper - fewer, 0, rest)
    images = np.zeros((len(masks), len(ORDER)), dtype=np.int64)
    index = np.arange(len(masks))
    images[index, MASK] = masks
    np.add.at(images, (index, problem.strengths[mix.cheap]), rest - upper)
    np.add.at(images, (index, problem.strengths[mix.dear]), upper)
    return images
