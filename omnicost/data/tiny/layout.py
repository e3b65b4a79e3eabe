"""Where the objects of a picture stand, back to front."""

from __future__ import annotations

from typing import NamedTuple

from omnicost.data.tiny.designs import DESIGNS
from omnicost.data.tiny.raster import PIXEL, Draws
from omnicost.data.tiny.specs import WorldSpec

HORIZON_PERCENT = 34  # of the picture's height; where a street's rows end
ROWS = 4  # of a street


class Placement(NamedTuple):
    """One object: its class' name, its middle and its square's side (fixed-point), its pose."""

    name: str
    centre: tuple[int, int]
    side: int
    turn: int
    mirrored: bool

    @property
    def foot(self) -> int:
        """The lowest line it stands on: the lower, the nearer."""
        return self.centre[1] + self.side * DESIGNS[self.name].height // 200


def arrange(spec: WorldSpec, draws: Draws) -> list[Placement]:
    """Draw the objects of a picture, farthest first."""
    stand = _on_street if spec.layout == "street" else _anywhere
    placed: list[Placement] = []
    for name in _cast(spec, draws):
        placed.append(stand(spec, name, placed, draws))
    return sorted(placed, key=lambda placement: placement.foot)


def _cast(spec: WorldSpec, draws: Draws) -> list[str]:
    """Names of the objects, class by class."""
    remaining = list(spec.class_names)
    names: list[str] = []
    for _ in range(_pick(spec.classes_per_image, draws)):
        name = remaining.pop(draws.integer(0, len(remaining) - 1))
        names += [name] * _pick(spec.objects_per_class, draws)
    return names


def _pick(choices: tuple[int, ...], draws: Draws) -> int:
    return choices[draws.integer(0, len(choices) - 1)]


def _pose(name: str, centre: tuple[int, int], side: int, draws: Draws) -> Placement:
    tilt = DESIGNS[name].tilt
    return Placement(name, centre, side, draws.integer(-tilt, tilt), draws.chance(50))


def _anywhere(spec: WorldSpec, name: str, placed: list[Placement], draws: Draws) -> Placement:
    side = draws.integer(spec.object_size[0] * PIXEL, spec.object_size[1] * PIXEL)
    fellows = [other for other in placed if other.name == name]
    if fellows and draws.chance(spec.crowding):
        centre = _beside(fellows[-1], spec, draws)
    else:
        centre = _clear_spot(spec, placed, draws)
    return _pose(name, centre, side, draws)


def _beside(fellow: Placement, spec: WorldSpec, draws: Draws) -> tuple[int, int]:
    """A spot that overlaps an object of the same class."""
    wide = fellow.side * DESIGNS[fellow.name].width // 100
    across = wide * draws.integer(40, 80) // 100 * (1 if draws.chance(50) else -1)
    down = fellow.side * draws.integer(-25, 25) // 100
    edge = spec.size * PIXEL
    x = fellow.centre[0] + across
    if not edge // 10 < x < edge * 9 // 10:
        x = fellow.centre[0] - across
    return x, min(max(fellow.centre[1] + down, edge // 6), edge * 5 // 6)


def _clear_spot(spec: WorldSpec, placed: list[Placement], draws: Draws) -> tuple[int, int]:
    """The emptiest of five random spots."""
    low, high = spec.size * PIXEL * 14 // 100, spec.size * PIXEL * 86 // 100
    spots = [(draws.integer(low, high), draws.integer(low, high)) for _ in range(5)]

    def clearance(spot: tuple[int, int]) -> int:
        return min(
            ((spot[0] - o.centre[0]) ** 2 + (spot[1] - o.centre[1]) ** 2 for o in placed),
            default=0,
        )

    return max(spots, key=clearance)


def _on_street(spec: WorldSpec, name: str, placed: list[Placement], draws: Draws) -> Placement:
    """A spot in one of the rows; rows are closer together, and things smaller, farther off."""
    edge = spec.size * PIXEL
    row = draws.integer(0, ROWS - 1)
    shrink = (40, 54, 74, 100)[row]
    side = draws.integer(spec.object_size[0] * PIXEL, spec.object_size[1] * PIXEL) * shrink // 100
    horizon = edge * HORIZON_PERCENT // 100
    foot = horizon + (edge - horizon) * (16, 32, 58, 94)[row] // 100 + draws.integer(-8, 8)
    fellows = [o for o in placed if o.name == name and abs(o.foot - foot) < 2 * PIXEL]
    if fellows and draws.chance(spec.crowding):
        x = _beside(fellows[-1], spec, draws)[0]
    else:
        x = _clear_column(spec, [o for o in placed if abs(o.foot - foot) < 4 * PIXEL], draws)
    return _pose(name, (x, foot - side * DESIGNS[name].height // 200), side, draws)


def _clear_column(spec: WorldSpec, row: list[Placement], draws: Draws) -> int:
    """The emptiest of six random columns of a row."""
    edge = spec.size * PIXEL
    columns = [draws.integer(edge * 6 // 100, edge * 94 // 100) for _ in range(6)]
    return max(columns, key=lambda x: min((abs(x - o.centre[0]) for o in row), default=0))
