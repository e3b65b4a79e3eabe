"""The kinds of teacher: what a teacher is prompted with, and whether it is told the class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from omnicost.annotation import AnnotationType
from omnicost.data.weak import MARKS
from omnicost.errors import InputError


class Shown(NamedTuple):
    """What a prompt shows of an instance."""

    mark: AnnotationType | None
    """The type whose points it holds."""
    box: bool


PROMPTS: Final[Mapping[str, Shown]] = {
    "box": Shown(None, True),
    **{str(mark): Shown(mark, False) for mark in MARKS},
    **{f"{mark}_box": Shown(mark, True) for mark in MARKS},
}
"""A box, the points of each type that is a mark, or both."""


class TeacherKind(NamedTuple):
    """What a teacher is prompted with; ``str`` gives ``point_box/class``, for example."""

    prompts: str  # of `PROMPTS`
    class_aware: bool

    def __str__(self) -> str:
        return f"{self.prompts}/{'class' if self.class_aware else 'plain'}"

    @property
    def shown(self) -> Shown:
        """What its prompts show."""
        return PROMPTS[self.prompts]

    @property
    def is_ambiguous(self) -> bool:
        """Whether a prompt is a lone point, which may mean a part or the whole."""
        return self.shown == Shown(AnnotationType.POINT, False)

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


ALL_KINDS: Final = tuple(
    TeacherKind(prompts, class_aware) for prompts in PROMPTS for class_aware in (False, True)
)
