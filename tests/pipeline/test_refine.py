"""Algorithm 1: by hand, line by line, and against every possible assignment."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omnicost.pipeline.config import RefineConfig
from omnicost.pipeline.proposals import Proposals
from omnicost.pipeline.pseudomask.refine import (
    assignment_cost,
    box_iou,
    contains,
    merge_boxes,
)

PAPER = RefineConfig()  # alpha 5, beta 2, tau_c 0.1


def proposals(*rows: tuple) -> Proposals:
    boxes, scores, classes = zip(*rows, strict=True) if rows else ((), (), ())
    return Proposals(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(scores, np.float32),
        np.array(classes, np.int64),
    )


def test_hand_worked_example() -> None:
    """Three proposals and two points, every line of the pseudocode worked out on paper.

    Proposals: A (0 0 10 10) class 0 at 0.9; B (10 0 20 10) class 1 at 0.5; C (0 0 20 10) class 0
    at 0.05. Points: P (5, 5) of class 0 with SAM box (0 0 10 5); Q (15, 5) of class 1 with SAM box
    (10 0 20 20).

    Lines 3-6: C is under tau_c = 0.1, out. Lines 8-10: A is valid for P (class, point inside), not
    for Q (class); B is valid for Q, not for P. Lines 11-12:
    A-P: 0 - 50/100 - 2 x 0.9 = -2.3;  A-Q: 5 - 0 - 1.8 = 3.2;
    B-P: 5 - 0 - 2 x 0.5 = 4.0;        B-Q: 0 - 100/200 - 1.0 = -1.5.
    Line 14: A to P and B to Q costs -3.8 against 7.2. Lines 16-23: both are valid.
    """
    found = proposals(
        ((0, 0, 10, 10), 0.9, 0), ((10, 0, 20, 10), 0.5, 1), ((0, 0, 20, 10), 0.05, 0)
    )
    points = np.array([[[5, 5]], [[15, 5]]], np.float32)
    sam = np.array([[0, 0, 10, 5], [10, 0, 20, 20]], np.float32)
    classes = np.array([0, 1])
    kept = found.take(np.array([0, 1]))
    valid = np.array([[True, False], [False, True]])
    np.testing.assert_array_equal(contains(kept.boxes, points), valid)
    cost = assignment_cost(valid, box_iou(kept.boxes, sam), kept.scores, PAPER)
    np.testing.assert_allclose(cost, [[-2.3, 3.2], [4.0, -1.5]], atol=1e-6)
    merged = merge_boxes(found, points, sam, classes, PAPER)
    np.testing.assert_array_equal(merged.boxes, found.boxes[:2])
    np.testing.assert_array_equal(merged.proposals, [0, 1])


def test_invalid_partner_leaves_sam_s_box() -> None:
    """Lines 17-18: a proposal of another class, though assigned, is replaced by SAM's box."""
    found = proposals(((0, 0, 10, 10), 0.9, 1))
    sam = np.array([[1, 1, 9, 9]], np.float32)
    merged = merge_boxes(found, np.array([[5.0, 5.0]]), sam, np.array([0]), PAPER)
    np.testing.assert_array_equal(merged.boxes, sam)
    np.testing.assert_array_equal(merged.proposals, [-1])


def test_fewer_proposals_than_points() -> None:
    """The point whose pair is dearer keeps SAM's box."""
    found = proposals(((0, 0, 20, 10), 0.8, 0))
    points = np.array([[[5, 5]], [[15, 5]]], np.float32)
    sam = np.array([[0, 0, 4, 4], [1, 0, 20, 10]], np.float32)
    merged = merge_boxes(found, points, sam, np.array([0, 0]), PAPER)
    np.testing.assert_array_equal(merged.boxes, [sam[0], found.boxes[0]])
    np.testing.assert_array_equal(merged.proposals, [-1, 0])


@pytest.mark.parametrize(
    "found",
    [proposals(), proposals(((0, 0, 10, 10), 0.09, 0), ((0, 0, 9, 9), 0.0, 0))],
    ids=["no detections", "all below tau_c"],
)
def test_nothing_usable_leaves_all_sam_boxes(found: Proposals) -> None:
    """Without a usable proposal every box is SAM's."""
    sam = np.array([[1, 1, 9, 9], [3, 3, 8, 8]], np.float32)
    merged = merge_boxes(found, np.array([[[5.0, 5.0]]] * 2), sam, np.array([0, 0]), PAPER)
    np.testing.assert_array_equal(merged.boxes, sam)
    assert (merged.proposals == -1).all()


def test_no_points() -> None:
    """An image without annotated instances gives no boxes."""
    merged = merge_boxes(
        proposals(((0, 0, 1, 1), 0.9, 0)), np.zeros((0, 1, 2)), np.zeros((0, 4)), np.zeros(0), PAPER
    )
    assert merged.boxes.shape == (0, 4)


@pytest.mark.parametrize("point", [(0, 5), (10, 5), (5, 0), (5, 10), (0, 0), (10, 10)])
def test_points_on_edges_are_inside(point: tuple) -> None:
    """A point on an edge or corner counts as inside, one past it does not."""
    box = np.array([[0, 0, 10, 10]], np.float32)
    assert contains(box, np.array([[point]], np.float32)).all()
    away = np.array([[point]], np.float32) + np.sign(np.array(point) - 5) * 0.01
    assert not contains(box, away.astype(np.float32)).any()


def test_a_box_holds_all_points_of_an_instance() -> None:
    """Of several points of one instance, none may be outside."""
    boxes = np.array([[0, 0, 10, 10], [0, 0, 20, 10]], np.float32)
    points = np.array([[[5, 5], [15, 5]], [[5, 5], [6, 5]]], np.float32)
    np.testing.assert_array_equal(contains(boxes, points), [[False, True], [True, True]])


def test_a_score_of_exactly_tau_c_counts() -> None:
    """Line 3 drops what is below tau_c, not what is at it."""
    found = proposals(((0, 0, 10, 10), 0.1, 0))
    config = RefineConfig(tau_c=float(np.float32(0.1)))
    sam = np.array([[1, 1, 9, 9]], np.float32)
    merged = merge_boxes(found, np.array([[5.0, 5.0]]), sam, np.array([0]), config)
    assert merged.proposals[0] == 0


corner = st.integers(0, 12)
box = st.tuples(corner, corner, corner, corner).map(
    lambda c: (min(c[0], c[2]), min(c[1], c[3]), max(c[0], c[2]) + 1, max(c[1], c[3]) + 1)
)
score = st.integers(0, 100).map(lambda n: n / 100)
found_rows = st.lists(st.tuples(box, score, st.integers(0, 2)), max_size=5)
wanted_rows = st.lists(st.tuples(st.tuples(corner, corner), box, st.integers(0, 2)), max_size=4)


def every_cheapest(found: Proposals, wanted: list, config: RefineConfig) -> set[tuple[int, ...]]:
    """What lines 14-23 give for each cheapest way to pair the usable proposals with the points."""
    usable = [n for n in range(len(found.scores)) if found.scores[n] >= config.tau_c]
    points = list(range(len(wanted)))

    def valid(i: int, j: int) -> bool:
        (x, y), _, label = wanted[j]
        x0, y0, x1, y1 = (float(v) for v in found.boxes[i])
        return bool(found.class_indices[i] == label and x0 <= x <= x1 and y0 <= y <= y1)

    def cost(i: int, j: int) -> float:
        x0, y0, x1, y1 = (float(v) for v in found.boxes[i])
        sam = wanted[j][1]
        width = max(0.0, min(x1, sam[2]) - max(x0, sam[0]))
        height = max(0.0, min(y1, sam[3]) - max(y0, sam[1]))
        union = (x1 - x0) * (y1 - y0) + (sam[2] - sam[0]) * (sam[3] - sam[1]) - width * height
        penalty = 0 if valid(i, j) else config.alpha
        return penalty - width * height / union - config.beta * float(found.scores[i])

    if len(usable) >= len(points):
        ways = [tuple(zip(some, points)) for some in permutations(usable, len(points))]  # noqa: B905
    else:
        ways = [tuple(zip(usable, some)) for some in permutations(points, len(usable))]  # noqa: B905
    totals = [sum(cost(i, j) for i, j in way) for way in ways]
    cheapest = [way for way, total in zip(ways, totals, strict=True) if total < min(totals) + 1e-6]
    merged = set()
    for way in cheapest:
        partner = {j: i for i, j in way if valid(i, j)}
        merged.add(tuple(partner.get(j, -1) for j in points))
    return merged


@settings(max_examples=150, deadline=None)
@given(found_rows, wanted_rows)
def test_agrees_with_brute_force(rows: list, wanted: list) -> None:
    """The merged boxes are those of a cheapest assignment among all there are."""
    found = proposals(*rows)
    points = np.array([row[0] for row in wanted], np.float32).reshape(-1, 1, 2)
    sam = np.array([row[1] for row in wanted], np.float32).reshape(-1, 4)
    classes = np.array([row[2] for row in wanted], np.int64)
    merged = merge_boxes(found, points, sam, classes, PAPER)
    assert tuple(merged.proposals.tolist()) in every_cheapest(found, wanted, PAPER)
    for point, proposal in enumerate(merged.proposals.tolist()):
        expected = sam[point] if proposal < 0 else found.boxes[proposal]
        np.testing.assert_array_equal(merged.boxes[point], expected)
