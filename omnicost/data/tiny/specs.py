"""What each tiny world looks like: its classes, numbers, sizes and styles."""

from __future__ import annotations

from dataclasses import dataclass, replace

from omnicost.data.tiny import designs

Range = tuple[int, int]  # lowest and highest, both included


@dataclass(frozen=True)
class Style:
    """How pictures are painted. Percentages and degrees unless said otherwise.

    Attributes:
        ground: which background: `fog`, `room`, `street`, `slope`, `checks` or `bands`.
        grey: brightness of the background.
        tint: saturation of the background and its clutter.
        hue_turn: turn of every object's hue from its class', in degrees.
        saturation, value: of an object, relative to its class'.
        light: direction the light comes from, x and y, each -2..2.
        rim: darkening towards the outline of a part.
        outline: whether parts have a dark outline.
        stripes: contrast of stripes across objects.
        noise: amplitude of the noise on every pixel, in grey levels.
        clutter: number of grey scraps behind and between the objects.
        decoys: percent of scraps that wear the hue of a class.
    """

    ground: str
    grey: Range = (36, 64)
    tint: Range = (0, 10)
    hue_turn: Range = (-6, 6)
    saturation: Range = (90, 110)
    value: Range = (90, 108)
    light: tuple[int, int] = (-1, -1)
    rim: int = 30
    outline: bool = False
    stripes: int = 0
    noise: Range = (10, 20)
    clutter: Range = (5, 10)
    decoys: int = 10


@dataclass(frozen=True)
class WorldSpec:
    """A tiny data set: what `world.render` needs to draw any of its pictures.

    Attributes:
        name: also seeds the pictures.
        class_names: keys of `designs.DESIGNS`, in class-index order.
        styles: one is drawn for each picture.
        layout: `scatter` or `street` (perspective rows).
        classes_per_image: numbers of classes in a picture, equally likely.
        objects_per_class: numbers of objects of each, equally likely.
        object_size: side of an object's square in pixels (`street`: at the nearest row).
        crowding: percent of objects that stand against an earlier one of their class.
        size_bounds: mask areas, in pixels, that part small from medium from large.
        alike: pairs of names; the first class is drawn in the second's colours. Their labelled
            extents differ: one's is the whole thing, the other's leaves a part of it out.
        segments: whether `render` also lists parts, wholes and groups.
        misnaming: percent of objects given the name of another class of similar look.
        size: side of a picture in pixels.
        version: raise it when a change alters pictures.
    """

    name: str
    class_names: tuple[str, ...]
    styles: tuple[Style, ...]
    layout: str = "scatter"
    classes_per_image: tuple[int, ...] = (1, 2, 2, 3)
    objects_per_class: tuple[int, ...] = (1, 2, 2, 3)
    object_size: Range = (18, 30)
    crowding: int = 55
    size_bounds: tuple[int, int] = (100, 250)
    alike: tuple[tuple[str, str], ...] = ()
    segments: bool = False
    misnaming: int = 0
    size: int = 64
    version: int = 1


COCO = WorldSpec(
    name="tiny-coco",
    class_names=(
        "person", "car", "bus", "bird", "cat", "dog",
        "boat", "umbrella", "bottle", "cup", "chair", "kite",
        "rider", "flag", "streetlight",
    ),
    alike=(("rider", "person"), ("flag", "boat"), ("streetlight", "kite")),
    version=2,
    styles=(
        Style("fog", hue_turn=(-4, 8)),
        Style("fog", hue_turn=(-4, 8), light=(1, -1), grey=(30, 50)),
    ),
)  # fmt: skip

ADE20K = WorldSpec(
    name="tiny-ade20k",
    class_names=(
        "person", "car", "bus", "boat", "bottle", "chair", "sofa", "bed", "table", "cabinet",
        "lamp", "streetlight", "window", "painting", "clock", "vase", "flower", "tent", "palm",
        "flag",
    ),
    alike=(("streetlight", "lamp"), ("flag", "boat")),
    version=2,
    styles=(
        Style("room", hue_turn=(-8, 4), saturation=(80, 100), clutter=(10, 18), decoys=20),
        Style(
            "room", hue_turn=(-8, 4), saturation=(80, 100), clutter=(10, 18), decoys=20,
            light=(0, -2), grey=(44, 70),
        ),
    ),
    classes_per_image=(2, 3, 3, 4),
    objects_per_class=(1, 1, 2, 3),
    object_size=(16, 27),
    crowding=45,
    size_bounds=(80, 200),
)  # fmt: skip

CITYSCAPES = WorldSpec(
    name="tiny-cityscapes",
    class_names=(
        "person", "rider", "car", "truck", "bus", "bicycle", "lamp", "streetlight",
    ),
    alike=(("rider", "person"), ("streetlight", "lamp")),
    version=2,
    styles=(
        Style("street", hue_turn=(-6, 6), value=(84, 100), light=(0, -2), clutter=(2, 5), decoys=5),
        Style(
            "street", hue_turn=(-6, 6), value=(76, 94), light=(1, -2), clutter=(2, 5), decoys=5,
            grey=(30, 48),
        ),
    ),
    layout="street",
    classes_per_image=(2, 3, 3, 3),
    objects_per_class=(2, 2, 3, 4),
    object_size=(22, 27),
    crowding=50,
    size_bounds=(45, 130),
)  # fmt: skip


def _web_styles() -> tuple[Style, ...]:
    """Every ground in every manner of painting, but none of the data sets' styles."""
    grounds = ("fog", "room", "street", "slope", "checks", "bands")
    manners = (
        {"light": (2, 0), "rim": 10, "stripes": 14},
        {"light": (-2, 1), "rim": 50, "outline": True},
        {"light": (0, 1), "rim": 0, "outline": True, "noise": (4, 12)},
        {"light": (1, 1), "rim": 22, "stripes": 8, "noise": (12, 28)},
    )
    wide = {
        "grey": (22, 76), "tint": (0, 22), "hue_turn": (-16, 16), "saturation": (68, 118),
        "value": (76, 116), "clutter": (3, 18), "decoys": 12,
    }  # fmt: skip
    return tuple(Style(ground, **{**wide, **manner}) for ground in grounds for manner in manners)  # type: ignore[arg-type]


WEB = WorldSpec(
    name="tiny-web",
    class_names=(
        "person", "car", "bus", "bird", "cat", "dog", "boat", "umbrella", "bottle", "cup", "chair",
        "kite", "sofa", "bed", "table", "cabinet", "lamp", "streetlight", "window", "painting",
        "clock", "vase", "flower", "tent", "palm", "flag", "rider", "truck", "bicycle",
    ),
    styles=_web_styles(),
    classes_per_image=(1, 2, 3, 4),
    objects_per_class=(1, 1, 2, 3),
    object_size=(10, 34),
    misnaming=3,
)  # fmt: skip

THINGS = replace(
    WEB,
    name="tiny-things",
    class_names=tuple(designs.THINGS),
    object_size=(12, 38),
    segments=True,
    misnaming=0,
)

SPECS: dict[str, WorldSpec] = {spec.name: spec for spec in (COCO, ADE20K, CITYSCAPES, WEB, THINGS)}
