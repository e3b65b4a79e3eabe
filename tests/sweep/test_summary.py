"""What a sweep prints: dry run, table, comparisons, and what to know beside the figures."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from engine_toys import DATA, DataParams
from rich.console import Console

from omnicost.annotation import Policy
from omnicost.engine.graph import Graph, Stage
from omnicost.pipeline.config import ProposalConfig
from omnicost.pipeline.student.config import StudentConfig
from omnicost.results import SMOKE, Row
from omnicost.sweep import step_versions
from omnicost.sweep.cards.card import Hardware
from omnicost.sweep.estimate import Hours, SweepEstimate
from omnicost.sweep.progress import duration
from omnicost.sweep.sources import SplitSource, WeightsSource
from omnicost.sweep.stages.stage_functions import DETECT, STUDENT
from omnicost.sweep.stages.stage_params import DetectParams, StudentParams
from omnicost.sweep.summary import (
    caveats,
    compared,
    estimate_table,
    failure_lines,
    next_command,
    policy_name,
    results_table,
    stale_steps,
)


def printed(*renderables: object, terminal: bool = False) -> str:
    console = Console(file=io.StringIO(), width=80, force_terminal=terminal, color_system=None)
    console.print(*renderables)
    return console.file.getvalue()  # type: ignore[attr-defined]


def graph_of(*detectors: str) -> Graph:
    data = SplitSource(fingerprint="d")
    stages = [Stage(DATA, DataParams(seed=0))]
    for spec in detectors:
        weights = WeightsSource(fingerprint=spec, spec=spec)
        params = DetectParams(data=data, detector=weights, config=ProposalConfig(), mode="all")
        stages += [Stage(DETECT, params), Stage(DETECT, params.model_copy(update={"seed": 1}))]
    return Graph((), {stage.key: stage for stage in stages})


def test_starts_that_saw_the_masks_are_named() -> None:
    """A start trained on a data set's own masks is named, once, with that data set."""
    named = "facebook/mask2former-swin-tiny-coco-instance"
    stages = [
        Stage(
            STUDENT,
            StudentParams(
                data=SplitSource(fingerprint="d"),
                backbone=None,
                start=WeightsSource(fingerprint=spec, spec=spec) if spec else None,
                config=StudentConfig(),
                policy=Policy.cell("none", 0),
                seed=seed,
            ),
        )
        for seed, spec in enumerate((named, named, "tiny", None))
    ]
    (line,) = caveats(Graph((), {stage.key: stage for stage in stages}))
    assert line.startswith(f"{named} learnt from coco's masks")


@pytest.mark.parametrize(
    ("specs", "flagged"),
    [
        (("IDEA-Research/grounding-dino-base",), 1),
        (("IDEA-Research/grounding-dino-tiny", "tiny"), 0),
        ((), 0),
    ],
)
def test_detectors_that_saw_coco_are_named(specs: tuple[str, ...], flagged: int) -> None:
    """Swin-B is named once where it detects; a sweep that never detects says nothing."""
    lines = caveats(graph_of(*specs))
    assert len(lines) == flagged
    assert all("learnt from COCO" in line and specs[0] in line for line in lines)


def test_steps_whose_code_changed_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever edits a step to try an idea hears it from the sweep, if the sweep has that step."""
    graph = graph_of("tiny")
    assert stale_steps(graph) == []
    detect = step_versions.STEPS["detect"]
    plain = step_versions._hash
    monkeypatch.setattr(
        step_versions, "_hash", lambda name: "edited" if name == detect else plain(name)
    )
    (line,) = stale_steps(graph)
    assert "omnicost/pipeline/detect.py changed and VERSION of detect did not" in line
    assert stale_steps(Graph((), {})) == []


def row(policy: str, ap: float, seconds: float, **changes: object) -> Row:
    values: dict[str, object] = {
        **{"dataset": "tiny", "policy": Policy.parse(policy), "variant": "default", "ap": ap},
        **{"images": 10, "masks": 1, "seconds_per_image": seconds, "hours": 1.0},
    }
    return Row.model_validate({**values, **changes})


def test_dry_run_prints_small_amounts_kindly() -> None:
    """Seconds and minutes are told as such, hours from one on."""
    hours = {"scores": Hours(8.33e-05, 0.2, 0.0), "students": Hours(7500.0, 1.5, 0.0)}
    figures = SweepEstimate(1, 1, 1, 1, hours, (), 0.1, {"student": 4.0}, Hardware())
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


def test_a_trial_run_leads_to_no_plan() -> None:
    """Rows that `plan` would refuse are not what it is asked to read next."""
    measured = row("mask=1", 40, 100)
    trial = measured.model_copy(update={"schedule": SMOKE})
    assert next_command([measured], Path("r.jsonl")).startswith("omnicost plan --results r.jsonl")
    assert "without --smoke" in next_command([trial], Path("r.jsonl"))


def test_names_and_durations() -> None:
    """Policies, times and failures read as people write them."""
    assert policy_name(Policy.parse("mask=0.1,point=0.9")) == "10% mask, 90% point"
    assert policy_name(Policy.parse("mask=1")) == "all mask"
    assert [duration(s) for s in (5, 300, 7200, 400_000)] == ["5 s", "5 min", "2.0 h", "4.6 days"]
    assert [duration(s) for s in (0, 0.3, 0.96)] == ["0 s", "0.3 s", "1 s"]
    assert failure_lines({"a": "x", "b": "x", "c": "y"}) == ["a, b: x", "c: y"]
