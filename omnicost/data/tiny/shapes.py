"""The named things of the tiny world: each an arrangement of convex parts.

Parts are drawn in the given order on a 100 x 100 square about the origin, y down. A part belongs
to its object's class (`SELF`), to nothing that annotators label (`None`), or to another class,
whose colours it then wears (the flowers in a vase). So the labelled extent of a kite is its sail
without the tail, and of a rider the person without the bicycle.
"""

from __future__ import annotations

from omnicost.data.tiny.parts import SELF, Design, Part, bar, box, disc


def _rounds(
    *centres: tuple[int, int], radius: int, tone: str, label: str | None = SELF
) -> tuple[Part, ...]:
    """Wheels or flowers: discs with a pale one in each."""
    parts: list[Part] = []
    for x, y in centres:
        parts += [
            Part(disc(x, y, radius), tone, label),
            Part(disc(x, y, radius * 45 // 100), "pale", label),
        ]
    return tuple(parts)


SAUCER = [
    (51, 38), (44, 43), (26, 47), (0, 48), (-25, 47), (-44, 43),
    (-51, 38), (-44, 33), (-26, 29), (0, 28), (25, 29), (44, 33),
]  # fmt: skip
BELLY = [
    (29, 24), (25, 37), (14, 46), (0, 50), (-14, 46), (-25, 37),
    (-29, 24), (-25, 11), (-14, 2), (0, -2), (14, 2), (25, 11),
]  # fmt: skip
NAMED: dict[str, Design] = {
    "person": Design(
        325, 72, 82, 78, 120, 5,
        (
            Part([(-14, 8), (0, 8), (-2, 50), (-13, 50)], "deep"),
            Part([(0, 8), (14, 8), (13, 50), (2, 50)], "deep"),
            Part(bar(-17, -20, -25, 10, 5), "cool"),
            Part(bar(17, -20, 25, 10, 5), "cool"),
            Part([(-20, -25), (20, -25), (15, 12), (-15, 12)]),
            Part(disc(0, -37, 12, 13), "skin"),
        ),
    ),
    "rider": Design(
        308, 74, 84, 105, 125, 4,
        (
            Part(disc(-28, 34, 18), "dark", "bicycle"),
            Part(disc(28, 34, 18), "dark", "bicycle"),
            Part(disc(-28, 34, 10), "bright", "bicycle"),
            Part(disc(28, 34, 10), "bright", "bicycle"),
            Part(bar(-28, 33, -2, 12, 5), "body", "bicycle"),
            Part(bar(28, 33, 20, 0, 5), "body", "bicycle"),
            Part(bar(-4, 14, 22, 8, 5), "body", "bicycle"),
            Part(bar(-8, 4, 4, 34, 7), "deep"),
            Part([(-18, 8), (-8, -26), (10, -24), (4, 10)]),
            Part(bar(4, -18, 22, -2, 5), "cool"),
            Part(disc(6, -37, 12), "skin"),
            Part([(-7, -39), (-3, -49), (13, -50), (20, -40)], "deep"),
        ),
    ),
    "car": Design(
        220, 78, 86, 125, 108, 5,
        (
            Part([(-30, -4), (-18, -27), (18, -27), (32, -4)], "bright"),
            Part([(-22, -6), (-14, -22), (-2, -22), (-2, -6)], "dark"),
            Part([(3, -6), (3, -22), (15, -22), (24, -6)], "dark"),
            Part([(-50, 2), (-45, -7), (42, -7), (50, 4), (50, 20), (-50, 20)]),
            Part(box(42, 2, 50, 9), "pale"),
            *_rounds((-28, 19), (28, 19), radius=13, tone="dark"),
        ),
    ),
    "truck": Design(
        238, 74, 80, 138, 116, 3,
        (
            Part(box(-50, -32, 16, 18), "bright"),
            Part(box(-44, -26, 10, -14), "pale"),
            Part([(18, -16), (36, -16), (50, 2), (50, 20), (18, 20)], "deep"),
            Part([(24, -11), (34, -11), (43, 2), (24, 2)], "pale"),
            *_rounds((-34, 20), (-8, 20), (34, 20), radius=12, tone="dark"),
        ),
    ),
    "bus": Design(
        50, 84, 92, 140, 110, 3,
        (
            Part([(-48, -30), (48, -30), (50, -22), (50, 22), (-50, 22), (-50, -22)]),
            Part(box(-44, -22, -24, -4), "dark"),
            Part(box(-20, -22, 0, -4), "dark"),
            Part(box(4, -22, 24, -4), "dark"),
            Part(box(30, -22, 45, 14), "pale"),
            Part(box(-50, 4, 28, 10), "deep"),
            *_rounds((-30, 22), (22, 22), radius=11, tone="dark"),
        ),
    ),
    "bicycle": Design(
        150, 76, 78, 112, 112, 4,
        (
            Part(disc(-28, 24, 22), "dark"),
            Part(disc(-28, 24, 13), "bright"),
            Part(disc(28, 24, 22), "dark"),
            Part(disc(28, 24, 13), "bright"),
            Part(bar(-28, 22, -6, -10, 5)),
            Part(bar(-8, -8, 18, -8, 5)),
            Part(bar(28, 22, 16, -22, 5)),
            Part(bar(0, 20, 18, -8, 5)),
            Part(box(-17, -18, 1, -11), "dark"),
            Part(box(8, -27, 26, -20), "dark"),
        ),
    ),
    "bird": Design(
        196, 76, 90, 96, 96, 14,
        (
            Part([(-50, -10), (-24, -2), (-22, 12)], "deep"),
            Part(bar(-2, 18, -4, 42, 3), "warm"),
            Part(bar(8, 18, 8, 42, 3), "warm"),
            Part(disc(-2, 4, 29, 21)),
            Part([(-34, -4), (10, -8), (2, 14), (-12, 14)], "deep"),
            Part(disc(26, -20, 15), "bright"),
            Part([(38, -24), (50, -17), (38, -13)], "grey"),
            Part(disc(30, -23, 4), "dark"),
        ),
    ),
    "cat": Design(
        32, 74, 88, 92, 108, 5,
        (
            Part(bar(20, 36, 44, 8, 6), "deep"),
            Part([(-22, 50), (-14, -2), (14, -2), (26, 50)]),
            Part(disc(0, 34, 10, 18), "pale"),
            Part([(-26, -22), (-25, -50), (-6, -36)], "deep"),
            Part([(26, -22), (25, -50), (6, -36)], "deep"),
            Part(disc(0, -20, 28, 21), "bright"),
            Part(disc(-11, -22, 5), "dark"),
            Part(disc(11, -22, 5), "dark"),
        ),
    ),
    "dog": Design(
        18, 76, 74, 116, 100, 5,
        (
            Part(bar(-36, -8, -48, -34, 6), "deep"),
            Part(bar(-30, 10, -32, 48, 6), "deep"),
            Part(bar(-16, 10, -16, 48, 6), "body"),
            Part(bar(14, 10, 14, 48, 6), "deep"),
            Part(bar(26, 10, 28, 48, 6), "body"),
            Part([(-40, -10), (26, -12), (32, 16), (-38, 18)]),
            Part(disc(30, -24, 17, 16), "bright"),
            Part(box(36, -26, 50, -12), "pale"),
            Part([(14, -40), (27, -38), (22, -10), (13, -14)], "dark"),
        ),
    ),
    "boat": Design(
        0, 80, 86, 118, 120, 6,
        (
            Part(bar(0, 20, 0, -50, 3), "dark"),
            Part([(5, -46), (42, 12), (5, 12)], "pale"),
            Part([(-5, -36), (-5, 12), (-32, 12)], "bright"),
            Part([(-50, 18), (50, 18), (34, 44), (-34, 44)]),
            Part(box(-44, 18, 44, 24), "deep"),
        ),
    ),
    "umbrella": Design(
        285, 70, 84, 118, 112, 12,
        (
            Part(bar(0, -20, 0, 46, 3), "grey", None),
            Part(bar(0, 46, 12, 46, 4), "grey", None),
            Part([(-50, 2), (-40, -24), (-18, -42), (-20, 2)], "deep"),
            Part([(50, 2), (40, -24), (18, -42), (20, 2)], "deep"),
            Part([(-20, 2), (-18, -42), (0, -48), (18, -42), (20, 2)], "bright"),
        ),
    ),
    "bottle": Design(
        126, 76, 74, 58, 118, 10,
        (
            Part(box(-11, -42, 11, -16), "bright"),
            Part([(-30, 0), (-11, -22), (11, -22), (30, 0), (30, 46), (-30, 46)]),
            Part(box(-30, 8, 30, 30), "pale"),
            Part(box(-14, -50, 14, -40), "dark"),
        ),
    ),
    "cup": Design(
        166, 76, 82, 88, 82, 6,
        (
            Part(SAUCER, "grey", None),
            Part(disc(28, -2, 20, 18), "deep"),
            Part(disc(28, -2, 10, 9), "dark"),
            Part([(-38, -36), (26, -36), (16, 36), (-28, 36)]),
            Part(disc(-6, -36, 32, 9), "pale"),
        ),
    ),
    "chair": Design(
        250, 68, 86, 76, 116, 5,
        (
            Part(box(-34, 10, -24, 50), "deep"),
            Part(box(24, 10, 34, 50), "deep"),
            Part([(-32, -50), (26, -50), (30, 4), (-34, 4)]),
            Part(box(-22, -42, 18, -12), "bright"),
            Part([(-36, 0), (32, 0), (42, 18), (-42, 18)], "cool"),
        ),
    ),
    "kite": Design(
        76, 82, 90, 82, 124, 20,
        (
            Part(bar(0, 14, 8, 32, 3), "grey", None),
            Part(bar(8, 32, -4, 48, 3), "grey", None),
            Part([(-4, 28), (18, 26), (16, 37)], "warm", None),
            Part([(0, -50), (0, 18), (-34, -18)]),
            Part([(0, -50), (34, -18), (0, 18)], "deep"),
            Part([(-34, -18), (0, -22), (34, -18), (0, -12)], "bright"),
        ),
    ),
    "sofa": Design(
        264, 68, 80, 134, 92, 3,
        (
            Part(box(-42, -34, 42, 16)),
            Part(box(-38, 0, -1, 20), "bright"),
            Part(box(1, 0, 38, 20), "bright"),
            Part(box(-42, 18, 42, 38), "deep"),
            Part(box(-50, -10, -38, 40), "cool"),
            Part(box(38, -10, 50, 40), "cool"),
        ),
    ),
    "bed": Design(
        236, 62, 86, 138, 88, 3,
        (
            Part(box(-50, -38, -40, 40), "deep"),
            Part(box(42, -8, 50, 40), "deep"),
            Part(box(-42, 6, 44, 30), "cool"),
            Part([(-40, -14), (34, -14), (44, 10), (-42, 10)]),
            Part(box(-38, -24, -14, -6), "pale"),
        ),
    ),
    "table": Design(
        26, 72, 70, 124, 86, 3,
        (
            Part(box(-40, -14, -30, 44), "deep"),
            Part(box(30, -14, 40, 44), "deep"),
            Part(box(-36, -10, 36, 2), "deep"),
            Part([(-36, -34), (36, -34), (50, -12), (-50, -12)], "bright"),
        ),
    ),
    "cabinet": Design(
        38, 70, 64, 94, 122, 2,
        (
            Part(box(-42, -46, 42, 46)),
            Part(box(-36, -40, -3, 8), "bright"),
            Part(box(3, -40, 36, 8), "bright"),
            Part(box(-36, 14, 36, 40), "deep"),
            Part(box(-8, 24, 8, 30), "pale"),
        ),
    ),
    "lamp": Design(
        60, 76, 95, 82, 118, 5,
        (
            Part(disc(0, 44, 26, 6), "grey", None),
            Part(bar(0, 44, 0, 0, 4), "grey", None),
            Part([(-20, -46), (20, -46), (42, 0), (-42, 0)]),
            Part(box(-42, -6, 42, 2), "deep"),
        ),
    ),
    "streetlight": Design(
        70, 70, 90, 66, 140, 3,
        (
            Part(bar(-24, 50, -24, -38, 5), "grey"),
            Part(bar(-24, -40, 14, -46, 4), "grey"),
            Part([(2, -46), (36, -46), (46, -24), (-8, -24)]),
            Part(box(-4, -28, 42, -20), "pale"),
        ),
    ),
    "window": Design(
        190, 52, 92, 88, 106, 2,
        (
            Part(box(-46, -46, 46, 46), "deep"),
            Part(box(-38, -38, -4, -4), "bright"),
            Part(box(4, -38, 38, -4), "body"),
            Part(box(-38, 4, -4, 38), "body"),
            Part(box(4, 4, 38, 38), "bright"),
            Part(box(-50, 42, 50, 50), "grey", None),
        ),
    ),
    "painting": Design(
        298, 66, 80, 104, 86, 4,
        (
            Part(box(-50, -46, 50, 46), "dark", None),
            Part(box(-40, -36, 40, 36)),
            Part([(-40, 36), (-14, -10), (14, 36)], "deep"),
            Part([(-4, 36), (18, 2), (40, 36)], "cool"),
            Part(disc(22, -18, 10), "pale"),
        ),
    ),
    "clock": Design(
        342, 68, 86, 84, 104, 3,
        (
            Part(box(-40, -48, 40, 48), "grey", None),
            Part(disc(0, -6, 34), "body"),
            Part(disc(0, -6, 26), "pale"),
            Part(bar(0, -6, 0, -26, 3), "dark"),
            Part(bar(0, -6, 14, 2, 3), "dark"),
        ),
    ),
    "vase": Design(
        176, 68, 76, 78, 128, 5,
        (
            Part(bar(0, 0, -20, -32, 3), "grey", None),
            Part(bar(0, 0, 18, -34, 3), "grey", None),
            *_rounds((-20, -32), (18, -34), radius=15, tone="body", label="flower"),
            Part(box(-14, -12, 14, 10), "bright"),
            Part(BELLY),
            Part(box(-18, -14, 18, -6), "deep"),
            Part(box(-26, 18, 26, 26), "bright"),
        ),
    ),
    "flower": Design(
        312, 72, 94, 74, 118, 14,
        (
            Part(bar(0, -14, 2, 50, 4), "grey", None),
            Part([(2, 32), (28, 12), (24, 30)], "grey", None),
            Part(disc(0, -36, 13), "bright"),
            Part(disc(-20, -20, 14), "body"),
            Part(disc(20, -20, 14), "body"),
            Part(disc(-12, 2, 14), "deep"),
            Part(disc(12, 2, 14), "deep"),
            Part(disc(0, -16, 12), "pale"),
        ),
    ),
    "tent": Design(
        92, 74, 80, 128, 96, 4,
        (
            Part([(-50, 40), (-8, -38), (10, -38), (34, 40)]),
            Part([(34, 40), (10, -38), (50, 28)], "deep"),
            Part([(-20, 40), (-4, -22), (12, 40)], "dark"),
            Part([(-20, 40), (-4, -22), (-8, 40)], "bright"),
        ),
    ),
    "palm": Design(
        110, 76, 76, 104, 132, 6,
        (
            Part([(-5, 50), (-1, -20), (7, -20), (9, 50)], "grey"),
            Part([(2, -22), (-26, -48), (-42, -38)], "deep"),
            Part([(2, -22), (30, -50), (42, -38)], "deep"),
            Part([(2, -26), (-50, -16), (-36, 2)], "body"),
            Part([(2, -26), (50, -16), (38, 2)], "body"),
            Part([(-10, -22), (2, -50), (14, -22)], "bright"),
            Part(disc(2, -20, 9), "warm"),
        ),
    ),
    "flag": Design(
        8, 82, 88, 94, 122, 6,
        (
            Part(bar(-40, 50, -40, -50, 4), "grey", None),
            Part([(-36, -46), (46, -40), (50, -24), (-36, -28)]),
            Part([(-36, -28), (50, -24), (48, -8), (-36, -10)], "pale"),
            Part([(-36, -10), (48, -8), (44, 10), (-36, 8)], "deep"),
        ),
    ),
}  # fmt: skip
