"""Annotation types and policies: what annotators are asked to draw, on what share of images."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from omnicost.errors import InputError

SHARE_TOLERANCE: Final = 1e-9


class AnnotationType(StrEnum):
    """What is labelled in an image; each type includes the class, as in Table 1 of the paper.

    A scribble is a stroke through an instance; the paper has none.

    The order is that of strength, and of every array with an axis of types.
    """

    NONE = "none"
    CLASS = "class"
    POINT = "point"
    SCRIBBLE = "scribble"
    BOX = "box"
    MASK = "mask"

    @property
    def strength(self) -> int:
        """Position among the types, weakest first."""
        return tuple(AnnotationType).index(self)

    @classmethod
    def parse(cls, text: str, where: object = "annotation type") -> AnnotationType:
        """The type of that name.

        Raises:
            InputError: if there is no such type.
        """
        try:
            return cls(text.strip().lower())
        except ValueError:
            known = ", ".join(cls)
            raise InputError(where, f"unknown annotation type {text!r}", f"use {known}") from None


PAPER_TYPES: Final = (
    AnnotationType.NONE,
    AnnotationType.CLASS,
    AnnotationType.POINT,
    AnnotationType.BOX,
    AnnotationType.MASK,
)
"""Those of the paper's Table 1: what is listed and swept where nobody names types."""
WEAK_TYPES: Final = tuple(each for each in AnnotationType if each is not AnnotationType.MASK)


def listed(*named: Iterable[AnnotationType]) -> tuple[AnnotationType, ...]:
    """The paper's types and those that some policies, or lists of types, name; weakest first."""
    shown = set(PAPER_TYPES).union(*named)
    return tuple(each for each in AnnotationType if each in shown)


@dataclass(frozen=True)
class Policy:
    """Shares of the images over annotation types, adding to 1.

    Build one with `Policy.of`, `Policy.cell` or `Policy.parse`; zero shares are dropped and the
    order is that of `AnnotationType`, so equal policies compare and hash equal.
    """

    shares: tuple[tuple[AnnotationType, float], ...]

    @classmethod
    def of(cls, shares: Mapping[AnnotationType | str, float], where: object = "policy") -> Policy:
        """A policy from a mapping of types to shares.

        Raises:
            InputError: on an unknown type, a share outside [0, 1], or a sum other than 1.
        """
        typed: dict[AnnotationType, float] = {}
        for name, share in shares.items():
            annotation = AnnotationType.parse(str(name), where)
            checked = _checked_share(share, annotation, where)
            typed[annotation] = typed.get(annotation, 0.0) + checked
        total = math.fsum(typed.values())
        if abs(total - 1.0) > SHARE_TOLERANCE:
            raise InputError(where, f"shares add to {total:g}, not 1", "make the shares add to 1")
        return cls(tuple((each, typed[each]) for each in AnnotationType if typed.get(each, 0.0)))

    @classmethod
    def cell(cls, weak: AnnotationType | str, mask_share: float) -> Policy:
        """A cell of the paper's grid: masks on a share of the images, one weak type on the rest."""
        shares = ((AnnotationType.MASK, mask_share), (weak, 1.0 - mask_share))
        return cls.of({annotation: share for annotation, share in shares if share})

    @classmethod
    def parse(cls, text: str, where: object = "policy") -> Policy:
        """A policy from text such as ``mask=0.1,point=0.9``; each type once."""
        shares: dict[AnnotationType | str, float] = {}
        for part in text.split(","):
            name, _, share = part.partition("=")
            try:
                number = float(share)
            except ValueError:
                problem = f"{part.strip()!r} is not type=share"
                raise InputError(where, problem, "write mask=0.1,point=0.9") from None
            annotation = AnnotationType.parse(name, where)
            if annotation in shares:
                raise InputError(where, f"names {annotation} twice", "give each type one share")
            shares[annotation] = number
        return cls.of(shares, where)

    def __getitem__(self, annotation: AnnotationType) -> float:
        return dict(self.shares).get(annotation, 0.0)

    def __iter__(self) -> Iterator[AnnotationType]:
        return (annotation for annotation, _ in self.shares)

    def __str__(self) -> str:
        return ",".join(f"{annotation}={share:.12g}" for annotation, share in reversed(self.shares))

    @property
    def mask_share(self) -> float:
        """Share of the images that get masks."""
        return self[AnnotationType.MASK]

    @property
    def weak_types(self) -> tuple[AnnotationType, ...]:
        """The types other than mask, weakest first."""
        return tuple(each for each in self if each is not AnnotationType.MASK)

    def as_dict(self) -> dict[str, float]:
        """The shares as plain JSON data."""
        return {str(annotation): share for annotation, share in self.shares}


def _checked_share(share: float, annotation: AnnotationType, where: object) -> float:
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
        raise InputError(where, f"share of {annotation} is {share!r}", "use a number from 0 to 1")
    return float(share)
