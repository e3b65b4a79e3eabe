"""Whose labels count where several people labelled an image."""

from __future__ import annotations

from enum import StrEnum


class Annotators(StrEnum):
    """The last one's, what most of them drew alike, or everybody's."""

    LAST = "last"
    AGREED = "agreed"
    ALL = "all"
