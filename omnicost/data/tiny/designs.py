"""Everything that can stand in a tiny picture: the named things, and made-up ones without a name.

Tiny SAM is trained on the made-up ones, so that it knows parts, wholes and groups but no class of
a data set. Each is a body with limbs and details. Most have a fixture too: what a body stands or
hangs on, thin and grey, or another thing that it carries, in that thing's colours.
"""

from __future__ import annotations

from functools import cache

from omnicost.data.seeding import derive_seed
from omnicost.data.tiny.parts import HOURS, SELF, Design, Part, Polygon, bar, box, disc
from omnicost.data.tiny.raster import Draws, Polygons, pack
from omnicost.data.tiny.shapes import NAMED

NUMBER = 500
TONES_OF_BODIES = ("body", "body", "deep", "bright", "warm", "cool", "dark", "pale", "skin")
TONES_OF_FIXTURES = ("grey", "grey", "grey", "dark", "pale", "warm")
FIXED_PERCENT = 65  # of the things have a fixture
CARRIED_PERCENT = 30  # of the fixtures are another thing


def _name(number: int) -> str:
    return f"thing {number}"


def _make(number: int) -> Design:
    draws = Draws(derive_seed("tiny world", "thing", number))
    hue, saturation, value = draws.integer(0, 359), draws.integer(60, 86), draws.integer(64, 96)
    width, height, tilt = draws.integer(64, 140), draws.integer(80, 130), draws.integer(2, 20)
    x, y = draws.integer(-10, 10), draws.integer(-18, 14)
    core = x, y, draws.integer(17, 40), draws.integer(16, 34)
    parts = _body(core, draws)
    if draws.chance(FIXED_PERCENT):
        fixture = _fixture(core, draws)
        parts = parts + fixture if draws.chance(25) else fixture + parts
    return Design(hue, saturation, value, width, height, tilt, tuple(parts))


def _body(core: tuple[int, int, int, int], draws: Draws) -> list[Part]:
    """Limbs at the edge of a core, the core, and details on it."""
    x, y, rx, ry = core
    limbs = [_edge(core, draws.integer(0, 11)) for _ in range(draws.integer(0, 3))]
    parts = [
        _part(_outline(*place, draws.integer(7, 15), draws.integer(7, 18), draws), draws)
        for place in limbs
    ]
    parts.append(_part(_outline(x, y, rx, ry, draws), draws))
    for _ in range(draws.integer(0, 3)):
        spot = x + draws.integer(-rx, rx) // 2, y + draws.integer(-ry, ry) // 2
        sides = draws.integer(4, max(rx // 2, 5)), draws.integer(4, max(ry // 2, 5))
        parts.append(_part(_outline(*spot, *sides, draws), draws))
    return parts


def _part(outline: Polygon, draws: Draws) -> Part:
    return Part(outline, TONES_OF_BODIES[draws.integer(0, len(TONES_OF_BODIES) - 1)], SELF)


def _fixture(core: tuple[int, int, int, int], draws: Draws) -> list[Part]:
    """Poles from the core to the edge of its square, or something broad at its side or foot."""
    carried = draws.chance(CARRIED_PERCENT)
    label = _name(draws.integer(0, NUMBER - 1)) if carried else None
    tones = TONES_OF_BODIES if carried else TONES_OF_FIXTURES
    outlines: list[Polygon] = []
    for _ in range(draws.integer(1, 3)):
        hour = draws.integer(0, 11)
        if draws.chance(30 if carried else 65):
            end = 49 * HOURS[hour] // 4096, 49 * HOURS[hour - 3] // 4096
            outlines.append(bar(core[0], core[1], *end, draws.integer(3, 6)))
        else:
            sides = draws.integer(10, 24), draws.integer(6, 20)
            outlines.append(_outline(*_edge(core, hour), *sides, draws))
    return [Part(outline, tones[draws.integer(0, len(tones) - 1)], label) for outline in outlines]


def _edge(core: tuple[int, int, int, int], hour: int) -> tuple[int, int]:
    """Where the clock of a core, an ellipse, has this hour; 3 is at its foot."""
    x, y, rx, ry = core
    return x + rx * HOURS[hour] // 4096, y + ry * HOURS[hour - 3] // 4096


def _outline(x: int, y: int, rx: int, ry: int, draws: Draws) -> Polygon:
    """A rectangle, an ellipse, a trapezium or some corners of an ellipse."""
    shape = draws.integer(0, 3)
    if shape == 0:
        return box(x - rx, y - ry, x + rx, y + ry)
    if shape == 1:
        return disc(x, y, rx, ry)
    if shape == 2:
        top, foot = rx * draws.integer(20, 100) // 100, rx * draws.integer(40, 100) // 100
        return [(x - top, y - ry), (x + top, y - ry), (x + foot, y + ry), (x - foot, y + ry)]
    first = draws.integer(0, 2)
    corners = [first, first + draws.integer(2, 3), first + draws.integer(4, 6), first + 9]
    return [_edge((x, y, rx, ry), hour) for hour in corners]


THINGS: dict[str, Design] = {_name(number): _make(number) for number in range(NUMBER)}
DESIGNS: dict[str, Design] = NAMED | THINGS


@cache
def packed(name: str) -> Polygons:
    """The outlines of a class, packed once."""
    return pack([part.outline for part in DESIGNS[name].parts])


def wears(name: str, part: Part) -> str:
    """The class whose colours a part of a thing is in: its own, or that whose label it carries."""
    return name if part.label in (SELF, None) else part.label
