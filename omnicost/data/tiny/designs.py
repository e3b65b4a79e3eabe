"""Everything that can stand in a tiny picture: the things with a name, and the made-up ones."""

from __future__ import annotations

from functools import cache

from omnicost.data.tiny.parts import SELF, Design, Part
from omnicost.data.tiny.raster import Polygons, pack
from omnicost.data.tiny.shapes import NAMED
from omnicost.data.tiny.things import THINGS

DESIGNS: dict[str, Design] = NAMED | THINGS


@cache
def packed(name: str) -> Polygons:
    """The outlines of a class, packed once."""
    return pack([part.outline for part in DESIGNS[name].parts])


def wears(name: str, part: Part) -> str:
    """The class whose colours a part of a thing is in: its own, or that whose label it carries."""
    return name if part.label in (SELF, None) else part.label
