"""Mask2Former's training loss (Cheng et al. 2022), for all images of a batch at once.

Same terms as the released criterion; what differs is how they are computed: masks stay bytes and
are read at the sampled points only, and the matching costs of a whole batch are two products.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from omnicost.models.students.settings import Mask2FormerSettings
from omnicost.models.students.student import ImageTargets


class Matches(NamedTuple):
    """M pairs of a query and the instance that it has to find."""

    images: torch.Tensor  # (M,) int64
    queries: torch.Tensor  # (M,) int64
    instances: torch.Tensor  # (M,) int64, into the batch's instances one after the other


class Truth(NamedTuple):
    """The instances of B images: one after the other, and padded to the largest number."""

    masks: torch.Tensor  # (S, H, W) uint8
    classes: torch.Tensor  # (S,) int64
    weights: torch.Tensor  # (S,) float32
    sizes: tuple[int, ...]  # instances of each image, adding to S
    rows: torch.Tensor  # (B, N) int64 into S; where the image has fewer, 0
    normaliser: torch.Tensor  # () float32: instances an average process, at least 1
    exponents: torch.Tensor | None = None  # (S,) float32 as of `generalised`; None: all 0


def collate(targets: Sequence[ImageTargets], world_size: int = 1) -> Truth:
    """Put the instances of a batch's images together."""
    counts = tuple(len(target.classes) for target in targets)
    device = targets[0].classes.device
    rows = pad_sequence(torch.arange(sum(counts)).split(counts), batch_first=True)
    return Truth(
        masks=torch.cat([target.masks for target in targets]),
        classes=torch.cat([target.classes for target in targets]),
        weights=torch.cat([target.weights for target in targets]),
        sizes=counts,
        rows=rows.to(device),
        normaliser=_mean_over_processes(sum(counts), world_size, device),
        exponents=_exponents(targets),
    )


def _exponents(targets: Sequence[ImageTargets]) -> torch.Tensor | None:
    found = [target.exponents for target in targets if target.exponents is not None]
    return torch.cat(found) if len(found) == len(targets) else None


def _mean_over_processes(count: int, world_size: int, device: torch.device) -> torch.Tensor:
    total = torch.tensor(float(count), device=device)
    if world_size > 1:
        torch.distributed.all_reduce(total)
        total /= world_size
    return total.clamp(min=1.0)


def shares(
    part: Sequence[ImageTargets],
    whole: Sequence[ImageTargets],
    settings: Mask2FormerSettings,
    world_size: int = 1,
    device: torch.device | str = "cpu",
) -> dict[str, torch.Tensor]:
    """A part's share in what the losses of the whole batch are divided by.

    With these, the gradients of micro-batches add up to that of one batch. Where an image has more
    instances than queries and unlike weights, the class loss takes the mean of their weights.
    """
    place = torch.device(device)
    of_part, of_whole = (
        _mean_over_processes(sum(len(each.classes) for each in targets), world_size, place)
        for targets in (part, whole)
    )
    weights = [sum(_query_weight(each, settings) for each in group) for group in (part, whole)]
    masks = of_part / of_whole
    return {"class": torch.tensor(weights[0] / weights[1]), "mask": masks, "dice": masks}


def _query_weight(target: ImageTargets, settings: Mask2FormerSettings) -> float:
    """Sum of the class loss's weights over one image's queries, once they are matched."""
    count = len(target.weights)
    matched = min(count, settings.queries)
    found = matched * float(target.weights.mean()) if count else 0.0
    return found + settings.no_object_weight * (settings.queries - matched)


def losses(
    mask_logits: Sequence[torch.Tensor],
    class_logits: Sequence[torch.Tensor],
    truth: Truth,
    settings: Mask2FormerSettings,
) -> dict[str, torch.Tensor]:
    """Weighted class, mask and dice losses, each summed over the L predictions.

    Args:
        mask_logits: L tensors ``(B, Q, h, w)``: of the learnable queries and of each layer.
        class_logits: L tensors ``(B, Q, K + 1)``, "no object" last.
        truth: the instances.
        settings: weights and numbers of points.
    """
    device = mask_logits[0].device
    sums = {name: torch.zeros((), device=device) for name in ("class", "mask", "dice")}
    for masks, classes in zip(mask_logits, class_logits, strict=True):
        # Half precision overflows in the sums over points, as the released code notes too.
        masks, classes = masks.float(), classes.float()
        matches = match(masks, classes, truth, settings)
        mask, dice = mask_losses(masks, truth, matches, settings)
        sums["class"] += settings.class_weight * class_loss(
            classes, truth, matches, settings.no_object_weight
        )
        sums["mask"] += settings.mask_weight * mask
        sums["dice"] += settings.dice_weight * dice
    return sums


@torch.no_grad()
def match(
    mask_logits: torch.Tensor,
    class_logits: torch.Tensor,
    truth: Truth,
    settings: Mask2FormerSettings,
) -> Matches:
    """The cheapest assignment of instances to queries in each image, on fresh random points."""
    images, most = truth.rows.shape
    points = torch.rand(images, settings.points, 2, device=mask_logits.device)
    wanted = read_masks(truth.masks, points[:, None].expand(-1, most, -1, -1), truth.rows)
    logits = read_logits(mask_logits, points)
    costs = (
        settings.mask_weight * _pairwise_cross_entropy(logits, wanted)
        + settings.dice_weight * _pairwise_dice(logits, wanted)
        - settings.class_weight * _class_probabilities(class_logits, truth)
    )
    # A prediction that is not a number may be matched last, as in transformers.
    finite = torch.nan_to_num(costs, nan=1e9, posinf=1e9, neginf=1e9).cpu().numpy()
    pairs = [
        linear_sum_assignment(cost[:, :number])
        for cost, number in zip(finite, truth.sizes, strict=True)
    ]
    return _matches(pairs, truth.sizes, mask_logits.device)


def _matches(
    pairs: Sequence[tuple[np.ndarray, np.ndarray]], counts: Sequence[int], device: torch.device
) -> Matches:
    starts = np.cumsum((0, *counts))[:-1]
    images = np.repeat(np.arange(len(pairs)), [len(query) for query, _ in pairs])
    queries = np.concatenate([query for query, _ in pairs])
    instances = np.concatenate(
        [start + instance for start, (_, instance) in zip(starts, pairs, strict=True)]
    )
    stacked = torch.from_numpy(np.stack([images, queries, instances]).astype(np.int64))
    return Matches(*stacked.to(device))


def _pairwise_cross_entropy(logits: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """``(B, Q, N)`` mean over P points, from ``(B, Q, P)`` and ``(B, N, P)``.

    ``softplus(x) - x t`` is the cross-entropy of logit x with target t.
    """
    total = F.softplus(logits).sum(-1, keepdim=True) - logits @ wanted.transpose(1, 2)
    return total / logits.shape[-1]


def _pairwise_dice(logits: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    probabilities = logits.sigmoid()
    overlap = 2 * probabilities @ wanted.transpose(1, 2)
    return 1 - (overlap + 1) / (probabilities.sum(-1)[..., None] + wanted.sum(-1)[:, None] + 1)


def _class_probabilities(class_logits: torch.Tensor, truth: Truth) -> torch.Tensor:
    """``(B, Q, N)`` probability of each instance's class."""
    wanted = truth.classes[truth.rows][:, None].expand(-1, class_logits.shape[1], -1)
    return class_logits.softmax(-1).gather(2, wanted)


def class_loss(
    class_logits: torch.Tensor, truth: Truth, matches: Matches, no_object_weight: float
) -> torch.Tensor:
    """Weighted mean cross-entropy over all queries; those unmatched are "no object"."""
    images, queries, outputs = class_logits.shape
    wanted = torch.full((images, queries), outputs - 1, device=class_logits.device)
    weights = torch.full((images, queries), no_object_weight, device=class_logits.device)
    wanted[matches.images, matches.queries] = truth.classes[matches.instances]
    weights[matches.images, matches.queries] = truth.weights[matches.instances]
    each = F.cross_entropy(class_logits.flatten(0, 1), wanted.flatten(), reduction="none")
    return (each * weights.flatten()).sum() / weights.sum()


def mask_losses(
    mask_logits: torch.Tensor, truth: Truth, matches: Matches, settings: Mask2FormerSettings
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross-entropy and dice of the matched masks on points where they are least certain."""
    maps = mask_logits[matches.images, matches.queries]
    with torch.no_grad():
        points = uncertain_points(maps, settings)
        wanted = read_masks(truth.masks, points, matches.instances)
    logits = _read_each(maps, points)
    each = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    if truth.exponents is not None:
        each = generalised(each, truth.exponents[matches.instances][:, None])
    cross_entropy = each.mean(1)
    probabilities = logits.sigmoid()
    overlap = 2 * (probabilities * wanted).sum(1)
    dice = 1 - (overlap + 1) / (probabilities.sum(1) + wanted.sum(1) + 1)
    weights = truth.weights[matches.instances] / truth.normaliser
    return (cross_entropy * weights).sum(), (dice * weights).sum()


def generalised(cross_entropy: torch.Tensor, exponents: torch.Tensor) -> torch.Tensor:
    """A loss that trusts labels less where the model contradicts them, number by number.

    Zhang and Sabuncu, "Generalized Cross Entropy Loss for Training Deep Neural Networks with Noisy
    Labels", NeurIPS 2018 (arXiv 1805.07836), Eq. 6: ``(1 - p^q) / q`` of the probability p that a
    label gets. q near 0 is the cross-entropy, q = 1 the mean absolute error, which wrong labels
    pull least.

    Args:
        cross_entropy: the plain one, ``-log p``, not negative.
        exponents: q in [0, 1], broadcast against it; where it is 0 the plain one stays.
    """
    is_plain = exponents == 0
    q = exponents.masked_fill(is_plain, 1.0)
    return torch.where(is_plain, cross_entropy, -torch.expm1(-q * cross_entropy) / q)


def uncertain_points(logits: torch.Tensor, settings: Mask2FormerSettings) -> torch.Tensor:
    """``(M, P, 2)`` points in [0, 1], x y: most where ``(M, h, w)`` logits are nearest 0."""
    drawn = int(settings.points * settings.oversample_ratio)
    kept = int(settings.points * settings.importance_ratio)
    points = torch.rand(len(logits), drawn, 2, device=logits.device)
    order = _read_each(logits, points).abs().topk(kept, dim=1, largest=False, sorted=False)[1]
    uncertain = points.gather(1, order[..., None].expand(-1, -1, 2))
    random = torch.rand(len(logits), settings.points - kept, 2, device=logits.device)
    return torch.cat([uncertain, random], 1)


def read_logits(maps: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """``(B, Q, P)``: ``(B, Q, h, w)`` maps read bilinearly at each image's ``(B, P, 2)`` points."""
    grid = 2 * points[:, None] - 1
    return F.grid_sample(maps, grid, mode="bilinear", align_corners=False)[:, :, 0]


def _read_each(maps: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """``(M, P)``: each ``(M, h, w)`` map read at points ``(M, P, 2)`` of its own."""
    if not len(maps):  # still a function of the maps, so that every parameter has a gradient
        return maps.flatten(1)[:, :1].expand(-1, points.shape[1])
    return read_logits(maps[:, None], points)[:, 0]


def read_masks(masks: torch.Tensor, points: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """``(..., P) float32``: masks read as `read_logits` reads maps, without making them floats.

    Args:
        masks: ``(S, H, W) uint8``.
        points: ``(..., P, 2)`` in [0, 1], x y.
        rows: ``(...)`` int64: the mask that each set of points belongs to.
    """
    height, width = masks.shape[-2:]
    column = points[..., 0] * width - 0.5
    row = points[..., 1] * height - 0.5
    left, top = column.floor(), row.floor()
    across, down = column - left, row - top
    start = (rows * (height * width))[..., None]
    flat = masks.reshape(-1)

    def corner(y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
        place = start + y.clamp(0, height - 1).long() * width + x.clamp(0, width - 1).long()
        return flat[place] * inside

    upper = corner(top, left) * (1 - across) + corner(top, left + 1) * across
    lower = corner(top + 1, left) * (1 - across) + corner(top + 1, left + 1) * across
    return upper * (1 - down) + lower * down
