"""What a reader of a sweep's figures has to know about them."""

from __future__ import annotations

from omnicost.engine.graph import Graph


def caveats(graph: Graph) -> list[str]:
    """One line for each detector of a sweep that is known to have learnt from COCO's boxes."""
    from omnicost.models.detector import trained_on_coco

    detectors = {
        str(stage.settings["recipe"]["models"]["detector"])
        for stage in graph.stages.values()
        if stage.name == "detect"
    }
    return [
        f"{spec} learnt from COCO's boxes: on COCO's pictures its AP for none, class and point "
        "says more than new data would"
        for spec in sorted(detectors)
        if trained_on_coco(spec)
    ]
