"""The six kinds of teacher, and which of them an annotation type needs."""

from __future__ import annotations

from typing import NamedTuple, get_args

from omnicost.annotation import AnnotationType
from omnicost.errors import InputError
from omnicost.pipeline.config import PromptKind, RefineConfig, TeacherConfig


class TeacherKind(NamedTuple):
    """What a teacher is prompted with; ``str`` gives ``point_box/class``, for example."""

    prompts: PromptKind
    class_aware: bool

    def __str__(self) -> str:
        return f"{self.prompts}/{'class' if self.class_aware else 'plain'}"

    @classmethod
    def parse(cls, text: str) -> TeacherKind:
        """The kind of that name.

        Raises:
            InputError: if there is none.
        """
        for kind in ALL_KINDS:
            if str(kind) == text:
                return kind
        raise InputError("teacher kind", f"no {text!r}", f"use {', '.join(map(str, ALL_KINDS))}")


ALL_KINDS = tuple(
    TeacherKind(prompts, class_aware)
    for prompts in get_args(PromptKind)
    for class_aware in (False, True)
)


def teachers_for(
    annotation: AnnotationType,
    config: TeacherConfig,
    refine: RefineConfig | None = None,
) -> dict[str, TeacherKind]:
    """The teachers that make pseudo-masks for an annotation type, by role.

    The role ``mask`` draws the pseudo-masks; for points, the role ``point`` (P-SAM) first draws
    those whose boxes Algorithm 1 merges, unless refinement is off: then it draws the masks too.
    The paper's class-aware branch is used everywhere but for box + class.
    """
    if annotation is AnnotationType.MASK:
        return {}
    aware = config.class_aware == "always" or (
        config.class_aware == "paper" and annotation is not AnnotationType.BOX
    )
    if annotation is not AnnotationType.POINT:
        return {"mask": TeacherKind("box", aware)}
    point = TeacherKind("point", aware)
    if refine is not None and not refine.enabled:
        return {"point": point}
    return {"point": point, "mask": TeacherKind("point_box", aware)}
