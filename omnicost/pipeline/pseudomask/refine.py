"""Refine: Algorithm 1 of the paper, which merges GroundingDINO's boxes with P-SAM's."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from omnicost.pipeline.config import RefineConfig
from omnicost.pipeline.proposals import Proposals


class RefinedBoxes(NamedTuple):
    """A prompt box for each of N' points."""

    boxes: np.ndarray  # (N', 4) float32
    proposals: np.ndarray  # (N',) int64, the proposal that gave the box; -1 where SAM's stays


def merge_boxes(
    proposals: Proposals,
    points: np.ndarray,
    sam_boxes: np.ndarray,
    class_indices: np.ndarray,
    config: RefineConfig,
) -> RefinedBoxes:
    """Assign proposals to annotated points, and keep SAM's box where no valid one is left.

    The pseudocode, line by line: a proposal under tau_c costs infinity (3-6); a pair costs alpha
    if the classes differ or the point is outside the box (8-10), less IoU with SAM's box, less
    beta times the confidence (11-12); the cheapest assignment decides (14); a proposal assigned to
    a point that it is not valid for is replaced by SAM's box (16-23).

    An infinite row only says that the proposal must not be used, so those proposals are left out
    of the assignment: with fewer proposals than points some points get none and keep SAM's box,
    where an assignment with infinities would have none at all.

    Args:
        proposals: N boxes in picture pixels, confidences in [0, 1], classes.
        points: ``(N', k, 2)`` x, y in picture pixels; one on a box's edge is inside, and all of an
            instance's have to be.
        sam_boxes: ``(N', 4)`` of P-SAM's masks.
        class_indices: ``(N',)`` annotated classes.
        config: alpha, beta, tau_c.
    """
    merged = RefinedBoxes(np.array(sam_boxes, np.float32).reshape(-1, 4), np.full(len(points), -1))
    usable = np.flatnonzero(proposals.scores >= config.tau_c)
    if not len(usable) or not len(points):
        return merged
    kept = proposals.take(usable)
    valid = (kept.class_indices[:, None] == class_indices[None]) & contains(kept.boxes, points)
    cost = assignment_cost(valid, box_iou(kept.boxes, sam_boxes), kept.scores, config)
    for row, point in zip(*linear_sum_assignment(cost), strict=True):
        if valid[row, point]:
            merged.boxes[point] = kept.boxes[row]
            merged.proposals[point] = usable[row]
    return merged


def assignment_cost(
    valid: np.ndarray, iou: np.ndarray, scores: np.ndarray, config: RefineConfig
) -> np.ndarray:
    """``(N, N') float64`` cost of giving proposal i to point j (lines 7-13)."""
    cost = np.where(valid, 0.0, config.alpha)
    return cost - iou.astype(np.float64) - config.beta * scores[:, None].astype(np.float64)


def contains(boxes: np.ndarray, points: np.ndarray) -> np.ndarray:
    """``(N, M) bool``: whether box i holds all of the ``(M, k, 2)`` points j, edges included."""
    x, y = points[None, ..., 0], points[None, ..., 1]
    x0, y0, x1, y1 = boxes.T[..., None, None]
    return ((x0 <= x) & (x <= x1) & (y0 <= y) & (y <= y1)).all(-1)


def box_iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """``(N, M) float64`` IoU of ``(N, 4)`` and ``(M, 4)`` boxes; 0 for two boxes without area."""
    first, second = first.astype(np.float64), second.astype(np.float64)
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    overlap = np.clip(high - low, 0, None).prod(-1)
    union = _area(first)[:, None] + _area(second)[None] - overlap
    return np.divide(overlap, union, out=np.zeros_like(overlap), where=union > 0)


def _area(boxes: np.ndarray) -> np.ndarray:
    return np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(-1)
