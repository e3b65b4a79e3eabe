"""Small problems for the planner's tests: surfaces with any curves, and enumeration of them."""

from itertools import combinations

import numpy as np
from hypothesis import strategies as st

from omnicost.annotation import PAPER_TYPES, WEAK_TYPES, AnnotationType, Policy
from omnicost.cost import BUILT_IN, ORDER, DatasetStats, seconds_per_image
from omnicost.forecast.surface import Surface
from omnicost.plan import Plan, Question, make_plan
from omnicost.plan.optimise import MASK, Problem, mix_beside
from omnicost.results import Row


def surface(
    worth: np.ndarray, knots: np.ndarray, draws: int = 3, types=PAPER_TYPES[:-1]
) -> Surface:
    """A surface whose mean and draws are the curves given: worth is (T, K)."""
    return Surface(
        types=tuple(types),
        knots=knots,
        worth=worth,
        worth_draws=np.repeat(worth[None], draws, axis=0),
        full=40.0,
        full_draws=np.full(draws, 40.0),
        scale=40.0,
        run_draws=np.zeros(draws),
        misfit_draws=np.zeros((draws, len(worth))),
    )


@st.composite
def problems(draw: st.DrawFn, most_images: int = 40) -> Problem:
    """Any number of images, any seconds, any rising curves: none of the paper's order."""
    images = draw(st.integers(1, most_images))
    kinds = draw(st.lists(st.sampled_from(WEAK_TYPES), min_size=1, max_size=4, unique=True))
    kinds = sorted(kinds, key=lambda kind: kind.strength)
    unit = st.floats(0.0, 1.0, allow_subnormal=False)
    worth = np.array([sorted(draw(st.lists(unit, min_size=3, max_size=3))) for _ in kinds])
    quarters = st.integers(0, 400).map(lambda count: count / 4)
    seconds = np.array(draw(st.lists(quarters, min_size=len(ORDER), max_size=len(ORDER))))
    knots = np.array([0.0, 5.0, float(max(images, 6))])
    return Problem(images, seconds, surface(worth, knots, types=kinds), draw(st.booleans()))


def enumerate_budget(problem: Problem, budget: float) -> float:
    """The best share of any number of masks with any pair of types, mixed at will."""
    best = -np.inf
    for masks in problem.masks():
        rest, left = problem.images - masks, budget - masks * problem.seconds[MASK]
        if left < 0:
            continue
        if rest == 0:
            best = max(best, 1.0)
            continue
        worth, cost = problem.surface.at(float(masks)), problem.weak_seconds * rest
        values = [w for w, c in zip(worth, cost, strict=True) if c <= left]
        for i, j in combinations(range(len(cost)), 2):
            a, b = (i, j) if cost[i] <= cost[j] else (j, i)
            if cost[a] <= left < cost[b]:
                part = (left - cost[a]) / (cost[b] - cost[a])
                values.append((1 - part) * worth[a] + part * worth[b])
        if values:
            best = max(best, (masks + rest * max(values)) / problem.images)
    return best


def enumerate_whole(problem: Problem) -> np.ndarray:
    """Every allocation of whole images over the types: (A, T)."""
    allowed = [*problem.strengths.tolist(), *([MASK] if problem.masks_allowed else [])]
    found: list[list[int]] = []

    def divide(left: int, position: int, images: list[int]) -> None:
        if position == len(allowed) - 1:
            row = [0] * len(AnnotationType)
            for strength, count in zip(allowed, [*images, left], strict=True):
                row[strength] += count
            found.append(row)
            return
        for count in range(left + 1):
            divide(left - count, position + 1, [*images, count])

    divide(problem.images, 0, [])
    return np.array(found)


def relaxed_share(problem: Problem, budget: float) -> float:
    """The best share if weak types could be mixed in fractions of an image."""
    masks = problem.masks()
    rest = problem.images - masks
    fits = masks * problem.seconds[MASK] <= budget * (1 + 1e-12)
    beside = np.where(rest > 0, mix_beside(problem, masks, budget).value, 0.0)
    return float(np.where(fits, masks + rest * np.where(rest > 0, beside, 0), -np.inf).max()) / (
        problem.images
    )


COCO = BUILT_IN["coco"].with_images(20_000)


DRAWS = 200


def coco_plan(question: Question, **options: object) -> Plan:
    options = {"dataset": "coco", "draws": DRAWS, **options}
    return make_plan(question, COCO, **options)


def demo_rows(images: int = 600, **more: tuple[float, float]) -> list[Row]:
    """A small sweep's rows: 0%, 10% and 100% cells of a data set that is not built in."""
    stats = DatasetStats(
        name="mine", images=images, classes=8, classes_per_image=2.5, instances_per_image=4.0
    )
    aps = {"none": (20, 25), "class": (27, 29), "point": (24, 33), "box": (36, 41), **more}
    cells = [
        (Policy.cell(k, s), ap)
        for k, pair in aps.items()
        for s, ap in zip((0, 0.1), pair, strict=True)
    ]
    cells.append((Policy.cell("mask", 1), 45))
    rows = []
    for policy, ap in cells:
        seconds = seconds_per_image(policy, stats)
        rows.append(
            Row(dataset="mine", policy=policy, variant="demo", ap=ap, images=images,
                masks=round(images * policy.mask_share), seconds_per_image=seconds,
                hours=seconds * images / 3600)
        )  # fmt: skip
    return rows
