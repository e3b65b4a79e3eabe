"""The way of each annotation type from the label to the mask (§3.2-3.5 of the paper).

All that the steps have to know of a type stands in `ROUTES`; what annotators give for it, in
`data.weak.GIVEN`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from omnicost.annotation import AnnotationType
from omnicost.errors import InputError
from omnicost.pipeline.config import RefineConfig, TeacherConfig
from omnicost.pipeline.teacher.kinds import TeacherKind


@dataclass(frozen=True)
class Route:
    """How an annotation type becomes pseudo-masks.

    Args:
        prompts: of the teacher that draws the masks, from `teacher.kinds.PROMPTS`.
        first: of the teacher that draws masks from the labels alone, whose boxes Algorithm 1 merges
            with GroundingDINO's; without refinement those masks stay.
        captions: which classes GroundingDINO is asked for: all of them, or those that are labelled
            as present; None where it is not asked.
        class_aware: whether the paper's teacher is told the class.
    """

    prompts: str
    first: str | None = None
    captions: Literal["all", "present"] | None = None
    class_aware: bool = True

    @property
    def prompts_are_detections(self) -> bool:
        """Whether masks are drawn for GroundingDINO's boxes, not for labels of instances."""
        return self.captions is not None and self.first is None

    def asks_detector(self, refine: RefineConfig) -> bool:
        """Whether GroundingDINO's proposals are used."""
        return self.prompts_are_detections or (self.first is not None and refine.enabled)

    def roles(self, refine: RefineConfig) -> tuple[str, ...]:
        """Of the teachers, in the order in which they are asked.

        ``mask`` draws the pseudo-masks; ``point`` is P-SAM before it, whose masks are the
        pseudo-masks without refinement.
        """
        if self.first is None:
            return ("mask",)
        return ("point", "mask") if refine.enabled else ("point",)

    def teachers(self, teacher: TeacherConfig, refine: RefineConfig) -> dict[str, TeacherKind]:
        """The kind of each role's teacher."""
        aware = {"always": True, "never": False, "paper": self.class_aware}[teacher.class_aware]
        prompts = {"point": self.first, "mask": self.prompts}
        return {role: TeacherKind(str(prompts[role]), aware) for role in self.roles(refine)}


ROUTES: Final[Mapping[AnnotationType, Route]] = {
    AnnotationType.NONE: Route("box", captions="all"),
    AnnotationType.CLASS: Route("box", captions="present"),
    AnnotationType.POINT: Route("point_box", first="point", captions="present"),
    AnnotationType.SCRIBBLE: Route("scribble_box", first="scribble", captions="present"),
    AnnotationType.BOX: Route("box", class_aware=False),
}


def route_of(annotation: AnnotationType) -> Route:
    """The route of a weak type.

    Raises:
        InputError: if it has none; real masks need none.
    """
    if annotation not in ROUTES:
        raise InputError("pseudo-masks", f"{annotation} has no route", f"use {', '.join(ROUTES)}")
    return ROUTES[annotation]
