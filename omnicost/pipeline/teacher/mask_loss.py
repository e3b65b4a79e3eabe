"""The mask loss on points drawn by uncertainty, as in Mask2Former (PointRend before it).

Coordinates are shares of the picture: ``x y`` in [0, 1]. SAM's logits cover a padded square, of
which a picture fills only the upper left `extent`; both are read by bilinear interpolation at the
same points, so no mask is ever scaled up. Beyond the border the outermost pixel goes on (the
original takes zeros there, which halves the target of every mask that touches the border).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F


def sample_at(values: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """``(P, N)`` values at points.

    Args:
        values: ``(P, h, w)`` maps.
        points: ``(P, N, 2)`` in shares of the map, x before y.
    """
    grid = (2 * points - 1)[:, None]
    sampled = F.grid_sample(
        values[:, None], grid, mode="bilinear", padding_mode="border", align_corners=False
    )
    return sampled[:, 0, 0]


@torch.no_grad()
def uncertain_points(
    logits: torch.Tensor,
    extent: torch.Tensor,
    count: int,
    oversample: float,
    importance: float,
    generator: torch.Generator,
) -> torch.Tensor:
    """``(P, count, 2)`` points of the picture, most of them where the mask is least sure.

    ``oversample * count`` points are drawn uniformly; the ``importance * count`` of them with
    logits nearest to 0 are kept, and the rest is drawn anew.

    Args:
        logits: ``(P, h, w)`` of the frame.
        extent: ``(P, 2)`` width and height of the picture in shares of the frame.
        count: points for each mask.
        generator: on the device of the logits.
    """
    masks, device = len(logits), logits.device
    drawn = torch.rand(masks, int(count * oversample), 2, generator=generator, device=device)
    uncertainty = -sample_at(logits, drawn * extent[:, None]).abs()
    kept = int(importance * count)
    best = uncertainty.topk(kept, dim=1).indices[..., None].expand(-1, -1, 2)
    fresh = torch.rand(masks, count - kept, 2, generator=generator, device=device)
    return torch.cat([drawn.gather(1, best), fresh], dim=1)


def ce_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """``(P,)`` mean binary cross entropy of ``(P, N)`` logits."""
    return F.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean(1)


def dice_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """``(P,)`` dice loss with Mask2Former's 1 in numerator and denominator."""
    chances = logits.sigmoid()
    overlap = 2 * (chances * targets).sum(1)
    return 1 - (overlap + 1) / (chances.sum(1) + targets.sum(1) + 1)


@torch.no_grad()
def true_iou(logits: torch.Tensor, masks: torch.Tensor, extent: torch.Tensor) -> torch.Tensor:
    """``(P,)`` IoU of logits, cut at 0, with the masks of one picture, at the logits' resolution.

    Args:
        logits: ``(P, h, w)`` of the frame.
        masks: ``(P, H, W)`` of the picture, 0 or 1.
        extent: ``(2,)`` width and height of the picture in shares of the frame.
    """
    width, height = (extent.cpu() * torch.tensor(logits.shape[:0:-1])).round().int().tolist()
    drawn = logits[:, :height, :width] > 0
    scaled = F.interpolate(masks[:, None].float(), (height, width), mode="nearest-exact")
    wanted = scaled[:, 0] > 0.5
    union = (drawn | wanted).sum((1, 2))
    return (drawn & wanted).sum((1, 2)) / union.clamp(min=1)
