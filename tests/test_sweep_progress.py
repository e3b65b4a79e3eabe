"""Progress, figures of a dry run and summary, on stores filled by small stages."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from engine_toys import Toys, toy_planner
from rich.console import Console

from omnicost.annotation import Policy
from omnicost.engine.execute import execute
from omnicost.engine.graph import Graph, Stage, build_graph
from omnicost.engine.resources import Resources
from omnicost.engine.store import Manifest, Store
from omnicost.pipeline.config import ProposalConfig
from omnicost.results import Row
from omnicost.sweep.card import Hardware
from omnicost.sweep.estimate import Estimate, Hours, Timings, estimate
from omnicost.sweep.progress import Progress, Watcher, duration
from omnicost.sweep.sources import SplitSource, WeightsSource
from omnicost.sweep.stage_functions import DETECT, DetectParams
from omnicost.sweep.summary import (
    compared,
    estimate_table,
    failure_lines,
    policy_name,
    results_table,
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def graph() -> Graph:
    toys = Toys()
    return build_graph(toys.targets(), toy_planner(toys))


def printed(*renderables: object, terminal: bool = False) -> str:
    console = Console(file=io.StringIO(), width=80, force_terminal=terminal, color_system=None)
    console.print(*renderables)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_watcher_sees_done_and_running_stages(graph: Graph, store: Store) -> None:
    """The share of the work done grows from 0 to 1; a leased stage is shown with its progress."""
    watcher = Watcher(graph, store)
    assert watcher.look().done_share == 0
    stages = list(graph.stages.values())
    execute(store, stages[0])
    lease = store.locks.try_acquire(stages[1].key)
    assert lease is not None
    with lease:
        lease.report(1, 2, {"loss": 0.5})
        lease._beat()
        seen = watcher.look()
    assert [running.share for running in seen.running] == [0.5]
    assert 0 < seen.done_share < 1
    for stage in stages[1:]:
        execute(store, stage)
    seen = watcher.look()
    assert (seen.done_share, seen.running) == (1, ())
    assert seen.counts["student"] == (5, 5)


def test_lines_tell_what_ends_where_there_is_no_terminal(graph: Graph, store: Store) -> None:
    """Every stage and cell that ends is a plain line; a cell's line has its result."""
    console = Console(file=io.StringIO(), width=80)
    progress = Progress(Watcher(graph, store), console, lambda plan: "AP 12.3")
    with progress.shown():
        for stage in graph.stages.values():
            execute(store, stage)
        progress.on_cell(graph.plans[0], "running")
        progress.on_cell(graph.plans[0], "done")
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert text.count("\n") == len(graph.stages) + 1
    assert "cell toys/none=1/seed=0: done AP 12.3" in text
    assert "\x1b" not in text


def test_live_table_fits_a_narrow_terminal(graph: Graph, store: Store) -> None:
    """Stages, cells and the time to go fit 80 columns."""
    progress = Progress(Watcher(graph, store), Console(file=io.StringIO()), lambda plan: "AP 1.0")
    for plan in graph.plans:
        progress.on_cell(plan, "done")
    text = printed(progress.render(), terminal=True)
    assert max(map(len, text.splitlines())) <= 80
    for part in ("elapsed", "teacher", "0/2", "done AP 1.0"):
        assert part in text


def test_recorded_times_replace_priors(store: Store) -> None:
    """Stages that were timed price the like; what is done is no longer left."""
    stage = _detect(units=200.0)
    prior = Timings([]).seconds(stage)
    recorded = Timings([_manifest(wall_seconds=50.0, units=100.0, workers=2)])
    assert recorded.is_recorded(stage)
    assert recorded.seconds(stage) == 200 * 50 * 2 / 100 != prior


def test_only_the_like_prices_a_stage() -> None:
    """Times of other weights or of another device say nothing; long runs say more than short."""
    on_gpu = _detect(units=10.0, resources=Resources(gpus=1))
    other = _detect("other", units=10.0)
    short = _manifest(wall_seconds=5.0, units=1.0, device="cpu: x86_64")
    long = _manifest(wall_seconds=94.0, units=98.0, device="cpu: x86_64")
    of_today = _manifest(wall_seconds=5.0, units=1.0, params={"of": "another time"})
    timings = Timings([short, long, of_today])
    assert not timings.is_recorded(on_gpu)
    assert not timings.is_recorded(other)
    assert timings.rate(_detect(units=1.0)) == pytest.approx(1.0)


def _detect(weights: str = "w", **fields: Any) -> Stage:
    params = DetectParams(
        data=SplitSource(fingerprint="d"),
        detector=WeightsSource(fingerprint=weights),
        config=ProposalConfig(),
        mode="all",
    )
    return Stage(DETECT, params, **fields)


def _manifest(**changes: object) -> Manifest:
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
    return Manifest.model_validate({**values, **changes})


def test_estimate_counts_what_the_store_has(graph: Graph, store: Store) -> None:
    """A dry run counts unique stages against the naive count and what is left of them."""
    assert estimate(graph, None, Hardware()).stages_left == len(graph.stages)
    for stage in list(graph.stages.values())[:3]:
        execute(store, stage)
    figures = estimate(graph, store, Hardware())
    assert (figures.stages, figures.naive_stages) == (17, 23)
    assert figures.stages_left == 14


def row(policy: str, ap: float, seconds: float, **changes: object) -> Row:
    values: dict[str, object] = {
        **{"dataset": "tiny", "policy": Policy.parse(policy), "recipe": "default", "ap": ap},
        **{"images": 10, "masks": 1, "seconds_per_image": seconds, "hours": 1.0},
    }
    return Row.model_validate({**values, **changes})


def test_dry_run_prints_small_amounts_kindly() -> None:
    """Seconds and minutes are told as such, hours from one on."""
    hours = {"scores": Hours(8.33e-05, 0.2, 0.0), "students": Hours(7500.0, 1.5, 0.0)}
    figures = Estimate(1, 1, 1, 1, hours, (), 0.1, {"student": 4.0}, Hardware())
    text = printed(estimate_table(figures, "small"))
    for amount in ("0.3 s", "12 min", "7,500 h", "1.5 h", "0 s"):
        assert amount in text
    assert "e-05" not in text


def test_summary_compares_with_full_supervision() -> None:
    """Share of full AP and saving are against the row with all masks, of the same seed."""
    rows = [row("box=1", 20, 10), row("mask=1", 40, 100), row("box=1", 30, 10, seed=1)]
    found = compared(rows)
    assert (found[0]["share_of_full"], found[0]["saving"]) == (0.5, 10)
    assert found[2]["share_of_full"] is None
    text = printed(results_table(rows, "tiny"))
    assert max(map(len, text.splitlines())) <= 80
    assert "50%" in text
    assert "10.0x" in text


def test_seeds_are_averaged_with_their_spread() -> None:
    """A cell is one line whatever the number of seeds: mean, standard deviation, mean share."""
    rows = [row("point=1", ap, 10, seed=seed) for seed, ap in enumerate((20, 24))]
    rows += [row("mask=1", 40, 100, seed=seed) for seed in range(2)]
    text = printed(results_table(rows, "tiny"))
    (line,) = (line for line in text.splitlines() if "all point" in line)
    assert [cell.strip() for cell in line.split("│")[2:5]] == ["22.0", "2.8", "55%"]
    assert "means over 2 seeds" in text


def test_free_labels_have_no_saving() -> None:
    """Nothing labelled costs nothing: no number of times cheaper is printed."""
    rows = [row("none=1", 5, 0), row("mask=1", 40, 100)]
    assert compared(rows)[0]["saving"] is None


def test_truncated_rows_are_starred() -> None:
    """A stopped student is marked in the table, with what the mark means."""
    text = printed(results_table([row("mask=1", 40, 100, truncated=True)], "tiny"))
    assert "40.0*" in text
    assert "stopped before" in text


def test_names_and_durations() -> None:
    """Policies, times and failures read as people write them."""
    assert policy_name(Policy.parse("mask=0.1,point=0.9")) == "10% mask, 90% point"
    assert policy_name(Policy.parse("mask=1")) == "all mask"
    assert [duration(s) for s in (5, 300, 7200, 400_000)] == ["5 s", "5 min", "2.0 h", "4.6 days"]
    assert [duration(s) for s in (0, 0.3, 0.96)] == ["0 s", "0.3 s", "1 s"]
    assert failure_lines({"a": "x", "b": "x", "c": "y"}) == ["a, b: x", "c: y"]
