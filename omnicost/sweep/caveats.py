"""What a reader of a sweep's figures has to know about them."""

from __future__ import annotations

from omnicost.engine.graph import Graph
from omnicost.pipeline.config import NO_START


def caveats(graph: Graph) -> list[str]:
    """One line for each detector and start of a sweep that has learnt from a data set's labels."""
    return [*_detectors(graph), *_starts(graph)]


def _detectors(graph: Graph) -> list[str]:
    from omnicost.models.detectors.detector import trained_on_coco

    return [
        f"{spec} learnt from COCO's boxes: on COCO's pictures its AP for none, class and point "
        "says more than new data would"
        for spec in _models(graph, "detect", "detector")
        if trained_on_coco(spec)
    ]


def _starts(graph: Graph) -> list[str]:
    from omnicost.models.students.start import seen_by

    return [
        f"{spec} learnt from {dataset}'s masks: students that start from it show on {dataset}'s "
        "pictures what labels add to masks, not what they buy alone"
        for spec in _models(graph, "student", "student")
        for dataset in seen_by(spec)
    ]


def _models(graph: Graph, stage: str, role: str) -> list[str]:
    """The weights that stages of one name have in a role."""
    of_stage = (each.settings for each in graph.stages.values() if each.name == stage)
    models = (settings.get("recipe", {}).get("models", {}) for settings in of_stage)
    return sorted({str(own[role]) for own in models if own.get(role, NO_START) != NO_START})
