"""What stages are priced with: recorded times of the like, priors, what is done already."""

from __future__ import annotations

from typing import Any

import pytest

from omnicost.annotation import Policy
from omnicost.engine.execute import execute
from omnicost.engine.graph import Graph, Stage
from omnicost.engine.manifest import StageManifest
from omnicost.engine.resources import Resources
from omnicost.engine.store import Store
from omnicost.pipeline.config import ProposalConfig
from omnicost.pipeline.student.config import StudentConfig
from omnicost.sweep.cards.card import Hardware
from omnicost.sweep.estimate import StageTimings, _images_at_once, estimate
from omnicost.sweep.sources import SplitSource, WeightsSource
from omnicost.sweep.stages.stage_functions import DETECT, EVALUATE, STUDENT
from omnicost.sweep.stages.stage_params import DetectParams, EvaluateParams, StudentParams


def test_recorded_times_replace_priors(store: Store) -> None:
    """Stages that were timed price the like; what is done is no longer left."""
    stage = _detect(units=200.0)
    prior = StageTimings([]).seconds(stage)
    recorded = StageTimings([_manifest(wall_seconds=50.0, units=100.0, workers=2)])
    assert recorded.is_recorded(stage)
    assert recorded.seconds(stage) == 200 * 50 * 2 / 100 != prior


def test_attempts_that_failed_are_paid_too() -> None:
    """A stage that was killed after 30 s and done after 50 s took 80 s."""
    manifest = _manifest(wall_seconds=50.0, earlier_wall_seconds=30.0, units=100.0, workers=2)
    assert manifest.whole_seconds == 80
    assert manifest.device_seconds == 160
    assert manifest.images_per_second == 100 / 80
    assert StageTimings([manifest]).seconds(_detect(units=100.0)) == 160


def test_micro_batches_are_of_one_device() -> None:
    """Two devices take eight images as two shares of four, each in micro-batches of its own."""

    def at_once(micro: int | None) -> float:
        config = StudentConfig.model_validate({"preset": "tiny", "micro_batch_images": micro})
        params = StudentParams(
            data=SplitSource(fingerprint="d"), backbone=None, start=None, config=config,
            policy=Policy.of({"mask": 1.0}), seed=0,
        )  # fmt: skip
        return _images_at_once(Stage(STUDENT, params, resources=Resources(workers=2)))

    assert [at_once(micro) for micro in (None, 2, 8)] == [4, 2, 4]


def test_only_the_like_prices_a_stage() -> None:
    """Times of other weights or of another device say nothing; long runs say more than short."""
    on_gpu = _detect(units=10.0, resources=Resources(gpus=1))
    other = _detect("other", units=10.0)
    short = _manifest(wall_seconds=5.0, units=1.0, device="cpu: x86_64")
    long = _manifest(wall_seconds=94.0, units=98.0, device="cpu: x86_64")
    of_today = _manifest(wall_seconds=5.0, units=1.0, params={"of": "another time"})
    timings = StageTimings([short, long, of_today])
    assert not timings.is_recorded(on_gpu)
    assert not timings.is_recorded(other)
    assert timings.rate(_detect(units=1.0)) == pytest.approx(1.0)


def test_times_are_of_pictures_of_that_size() -> None:
    """What small pictures took says nothing of photos, which the priors price higher."""
    timings = StageTimings([_manifest(wall_seconds=10.0, units=10.0, unit_size=0.005)])
    small, photo = (_detect(units=10.0, unit_size=size) for size in (0.004, 0.3))
    assert timings.is_recorded(small)
    assert not timings.is_recorded(photo)
    guesses = StageTimings([])
    small, photo = (_evaluate(unit_size=size) for size in (0.004, 0.3))
    assert guesses.seconds(photo) > 10 * guesses.seconds(small) > 0


def _evaluate(unit_size: float) -> Stage:
    params = EvaluateParams(data=SplitSource(fingerprint="d"))
    return Stage(EVALUATE, params, units=500.0, unit_size=unit_size, priced_as="tiny")


def _detect(weights: str = "w", **fields: Any) -> Stage:
    params = DetectParams(
        data=SplitSource(fingerprint="d"),
        detector=WeightsSource(fingerprint=weights),
        config=ProposalConfig(),
        mode="all",
    )
    return Stage(DETECT, params, **fields)


def _manifest(**changes: object) -> StageManifest:
    values: dict[str, object] = {
        **{"key": "0" * 64, "stage": "detect", "version": 1, "label": ""},
        **{
            "params": _detect().params.identity(),
            "inputs": {},
            "cpu_seconds": 1.0,
            "started": "",
            "host": "",
        },
        **{"device": "cpu", "threads": 1, "versions": {}, "files": {}},
    }
    return StageManifest.model_validate({**values, **changes})


def test_estimate_counts_what_the_store_has(graph: Graph, store: Store) -> None:
    """A dry run counts unique stages against the naive count and what is left of them."""
    assert estimate(graph, None, Hardware()).stages_left == len(graph.stages)
    for stage in list(graph.stages.values())[:3]:
        execute(store, stage)
    figures = estimate(graph, store, Hardware())
    assert (figures.stages, figures.naive_stages) == (17, 23)
    assert figures.stages_left == 14
