"""What most of several annotators drew."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from omnicost.data.imports.export import DrawnLabel, around

LEAST_IOU: Final = 0.5  # of the boxes around two drawings of one thing
NEAREST: Final = 0.05  # two points on one thing are at most so many of the sides apart


def agreed(read: Sequence[Sequence[DrawnLabel]]) -> tuple[DrawnLabel, ...]:
    """What more than half of the annotators drew alike; each time the last annotator's drawing.

    Alike: of one class and type, boxes around them with an IoU of at least a half, or points
    within a twentieth of the picture's sides. Pixels of brushes are compared by class only.

    Args:
        read: what each annotator drew, coordinates as shares of the sides.
    """
    groups: list[dict[int, DrawnLabel]] = []  # annotator to drawing
    for annotator, drawn in enumerate(read):
        for each in drawn:
            own = (g for g in groups if annotator not in g and _alike(list(g.values())[-1], each))
            group = next(own, None)
            if group is None:
                groups.append({annotator: each})
            else:
                group[annotator] = each
    return tuple(group[max(group)] for group in groups if 2 * len(group) > len(read))


def _alike(one: DrawnLabel, other: DrawnLabel) -> bool:
    if (one.class_name, one.annotation) != (other.class_name, other.annotation):
        return False
    if one.point is not None and other.point is not None:
        return max(abs(a - b) for a, b in zip(one.point, other.point, strict=True)) <= NEAREST
    first, second = _around(one), _around(other)
    return first is None or second is None or _iou(first, second) >= LEAST_IOU


def _around(drawn: DrawnLabel) -> tuple[float, ...] | None:
    if drawn.polygons is not None:
        return around(np.array([n for each in drawn.polygons for n in each]).reshape(-1, 2))
    return drawn.box


def _iou(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    a, b = np.array(one), np.array(other)
    common = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None).prod()
    areas = (a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod()
    return float(common / max(areas - common, 1e-12))
