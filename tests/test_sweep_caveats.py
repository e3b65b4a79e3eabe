"""What is said beside a sweep's figures."""

import pytest
from engine_toys import DATA, DataParams

from omnicost.annotation import Policy
from omnicost.engine.graph import Graph, Stage
from omnicost.pipeline.config import ProposalConfig
from omnicost.pipeline.student.config import StudentConfig
from omnicost.sweep import step_versions
from omnicost.sweep.caveats import caveats, stale_steps
from omnicost.sweep.sources import SplitSource, WeightsSource
from omnicost.sweep.stage_functions import DETECT, STUDENT, DetectParams, StudentParams


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
