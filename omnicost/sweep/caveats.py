"""What a reader of a sweep's figures has to know about them."""

from __future__ import annotations

from omnicost.engine.graph import Graph
from omnicost.engine.params import Params
from omnicost.models.detectors.detector import trained_on_coco
from omnicost.models.students.start import seen_by
from omnicost.sweep.stage_functions import DetectParams, StudentParams
from omnicost.sweep.step_versions import changes


def caveats(graph: Graph) -> list[str]:
    """One line for each detector and start of a sweep that has learnt from a data set's labels."""
    return [*_detectors(graph), *_starts(graph)]


def stale_steps(graph: Graph) -> list[str]:
    """One line if code of the graph's steps changed and its VERSION did not."""
    found = changes({stage.name for stage in graph.stages.values()})
    steps = dict.fromkeys(step for change in found for step in change.steps)
    if not found:
        return []
    return [
        f"{', '.join(change.path for change in found)} changed and VERSION of {', '.join(steps)} "
        "did not: what the store has may come from the old code; python -m "
        "omnicost.sweep.step_versions says what to do"
    ]


def _detectors(graph: Graph) -> list[str]:
    return [
        f"{spec} learnt from COCO's boxes: on COCO's pictures its AP for none, class and point "
        "says more than new data would"
        for spec in _specs(graph, DetectParams, "detector")
        if trained_on_coco(spec)
    ]


def _starts(graph: Graph) -> list[str]:
    return [
        f"{spec} learnt from {dataset}'s masks: students that start from it show on {dataset}'s "
        "pictures what labels add to masks, not what they buy alone"
        for spec in _specs(graph, StudentParams, "start")
        for dataset in seen_by(spec)
    ]


def _specs(graph: Graph, params: type[Params], role: str) -> list[str]:
    """The weights that stages with such parameters are told of in a role."""
    told = (stage.params for stage in graph.stages.values() if isinstance(stage.params, params))
    return sorted({weights.spec for each in told if (weights := getattr(each, role))})
