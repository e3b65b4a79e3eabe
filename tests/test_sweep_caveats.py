"""What is said beside a sweep's figures."""

import pytest
from sweep_toys import TEACHER

from omnicost.engine.graph import Graph, Stage, StageKind
from omnicost.sweep.caveats import caveats

STUDENT = StageKind("student", 1, "nothing:run")
DETECT = StageKind("detect", 1, "nothing:run")


def graph_of(kind: StageKind, *detectors: str) -> Graph:
    stages = [
        Stage(kind, {"number": n}, settings={"recipe": {"models": {"detector": spec}}})
        for n, spec in enumerate(detectors)
    ]
    return Graph((), {stage.key: stage for stage in stages})


def test_starts_that_saw_the_masks_are_named() -> None:
    """A start trained on a data set's own masks is named, once, with that data set."""
    specs = ("facebook/mask2former-swin-tiny-coco-instance", "tiny", "none")
    stages = [
        Stage(STUDENT, {"number": n}, settings={"recipe": {"models": {"student": spec}}})
        for n, spec in enumerate(specs)
    ]
    (line,) = caveats(Graph((), {stage.key: stage for stage in stages}))
    assert line.startswith(f"{specs[0]} learnt from coco's masks")


@pytest.mark.parametrize(
    ("kind", "specs", "flagged"),
    [
        (DETECT, ("IDEA-Research/grounding-dino-base",), 1),
        (DETECT, ("IDEA-Research/grounding-dino-base", "IDEA-Research/grounding-dino-base"), 1),
        (DETECT, ("IDEA-Research/grounding-dino-tiny", "tiny"), 0),
        (TEACHER, ("IDEA-Research/grounding-dino-base",), 0),
    ],
)
def test_detectors_that_saw_coco_are_named(
    kind: StageKind, specs: tuple[str, ...], flagged: int
) -> None:
    """Swin-B is named once where it detects; a sweep that never detects says nothing."""
    lines = caveats(graph_of(kind, *specs))
    assert len(lines) == flagged
    assert all("learnt from COCO" in line and specs[0] in line for line in lines)
