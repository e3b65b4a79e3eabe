"""The statistical model: what it learns, and what it does not claim to know."""

from dataclasses import replace

import numpy as np
import pytest

from omnicost.annotation import WEAK_TYPES, AnnotationType
from omnicost.forecast.model import Forecast, axis, forecast
from omnicost.forecast.observations import Observations, observe
from omnicost.forecast.prior import learn_shape
from omnicost.results import PUBLISHED, paper_rows, published_series

POINT = WEAK_TYPES.index(AnnotationType.POINT)


def made(truth: np.ndarray, masks: np.ndarray, schedule: str = PUBLISHED) -> Observations:
    """Rows of 20,000 images with points, whose AP follows a worth exactly; full is 40."""
    share = masks / 20_000
    ap = 40 * (share + (1 - share) * truth)
    return Observations(
        "made", schedule, 20_000, np.array([*[POINT] * len(masks), -1]),
        np.append(masks, 20_000.0), np.append(share, 1.0), np.append(ap, 40.0),
        np.zeros(len(masks) + 1, int),
    )  # fmt: skip


def at(rows: Observations, masks: list[float], draws: int = 1500) -> Forecast:
    """Points beside so many masks."""
    places = np.full(len(masks), POINT), np.array(masks)
    return forecast(rows, learn_shape([]), *places, np.random.default_rng(0), draws)


def test_smooth_data_come_back() -> None:
    """Rows made from a law, without noise, are returned almost as they are."""
    masks = np.array([0.0, 200, 600, 2000])
    truth = 0.95 - 0.35 * np.exp(-axis(masks) / 2)
    drawn = at(made(truth, masks), masks.tolist())
    worth = 1 - drawn.lacking.mean(axis=0) / drawn.full.mean()
    assert worth == pytest.approx(truth, abs=0.012)


def test_far_from_rows_is_less_sure() -> None:
    """Intervals are wider between tested numbers of masks than at them, and wider beyond."""
    masks = np.array([0.0, 200, 2000])
    drawn = at(made(np.array([0.6, 0.8, 0.9]), masks), [200, 630, 2000, 20_000])
    at_200, between, at_2000, beyond = drawn.lacking.std(axis=0)
    assert between > 1.2 * max(at_200, at_2000)
    assert beyond > 1.5 * at_2000


def test_rough_rows_are_believed_less() -> None:
    """Cells that contradict each other widen what is said of all, without a single repeat."""
    masks = np.array([0.0, 100, 300, 1000, 3000])
    smooth = made(np.array([0.6, 0.7, 0.75, 0.8, 0.85]), masks)
    rough = made(np.array([0.6, 0.8, 0.65, 0.85, 0.7]), masks)
    spread = [
        float((one.full + one.run - one.lacking[:, 0] - one.misfit[:, POINT]).std())
        for one in (at(rows, [500.0]) for rows in (smooth, rough))
    ]
    assert spread[1] > 2 * spread[0]


def test_an_unknown_schedule_is_less_sure_than_a_published_one() -> None:
    """The scatter of runs that nobody repeated is part of every interval."""
    masks = np.array([0.0, 200, 2000])
    rows = made(np.array([0.6, 0.8, 0.9]), masks)
    known, unknown = (
        at(replace(rows, schedule=schedule), [200.0]).run.std() for schedule in (PUBLISHED, "mine")
    )
    assert unknown > 1.3 * known


def test_tails_are_heavier_than_normal() -> None:
    """One student in a few hundred lies further out than a normal law allows."""
    run = at(made(np.array([0.6, 0.8]), np.array([0.0, 200])), [0.0], 20_000).run
    assert ((run / run.std()) ** 4).mean() > 4


def test_other_recipes_may_leave_the_papers_shape() -> None:
    """Students that start far lower and rise for longer than the paper's are followed."""
    rows = observe(published_series()["Guided Distillation R-50"])
    held = rows.where(np.array([0, 1, 2, 4]))
    none = WEAK_TYPES.index(AnnotationType.NONE)
    shape = learn_shape([observe(paper_rows(name)) for name in ("coco", "ade20k", "cityscapes")])
    place = np.array([none]), np.array([rows.masks[3]])
    drawn = forecast(held, shape, *place, np.random.default_rng(0), 1500)
    ap = drawn.full - 0.9 * drawn.lacking[:, 0]
    low, high = np.quantile(ap + drawn.run - 0.9 * drawn.misfit[:, none], [0.1, 0.9])
    assert low < rows.ap[3] < high
    assert ap.mean() == pytest.approx(rows.ap[3], abs=2.5)
