"""What an annotator of a type draws with in each labelling tool."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from omnicost.annotation import AnnotationType

BRUSH: Final = "brush"


class Controls(NamedTuple):
    """The tools' own names."""

    label_studio: tuple[tuple[str, str], ...]
    """Tag of the interface and name of the control."""
    cvat: str
    """Type of a label."""


CONTROLS: Final[Mapping[AnnotationType, Controls]] = {
    AnnotationType.CLASS: Controls((("Choices", "tags"),), "tag"),
    AnnotationType.POINT: Controls((("KeyPointLabels", "points"),), "points"),
    AnnotationType.SCRIBBLE: Controls((("BrushLabels", BRUSH),), "polyline"),
    AnnotationType.BOX: Controls((("RectangleLabels", "boxes"),), "rectangle"),
    AnnotationType.MASK: Controls(
        (("PolygonLabels", "polygons"), ("BrushLabels", BRUSH)), "polygon"
    ),
}
