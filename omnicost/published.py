"""The published data sets by name: one row each, which every part of the program reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

FITTED: Final = "K of the data set; c and n fitted to Table 1"


class Published(NamedTuple):
    """A data set as its owners released it.

    Attributes:
        title: its name as its authors write it.
        images: of each split.
        classes: K, of the instance segmentation benchmark.
        classes_per_image: c.
        instances_per_image: n.
        source: of c and n.
        expected: what its owners let people download, unpacked.
        categories: category id to name, where its annotations do not say them.
    """

    title: str
    images: Mapping[str, int]
    classes: int
    classes_per_image: float
    instances_per_image: float
    source: str
    expected: str
    categories: Mapping[int, str] = {}


# "thing" classes of the ADE20K instance benchmark with their category ids, which are the labels of
# the 150-class scene parsing task less one; the red channel of an instance map is the position in
# this list, from 1. Source: facebookresearch/Mask2Former @161be514,
# datasets/ade20k_instance_catid_mapping.txt and
# mask2former/data/datasets/register_ade20k_instance.py.
_ADE20K = """
7 bed|8 windowpane|10 cabinet|12 person|14 door|15 table|18 curtain|19 chair|20 car|22 painting
23 sofa|24 shelf|27 mirror|30 armchair|31 seat|32 fence|33 desk|35 wardrobe|36 lamp|37 bathtub
38 railing|39 cushion|41 box|42 column|43 signboard|44 chest of drawers|45 counter|47 sink
49 fireplace|50 refrigerator|53 stairs|55 case|56 pool table|57 pillow|58 screen door|62 bookcase
64 coffee table|65 toilet|66 flower|67 book|69 bench|70 countertop|71 stove|72 palm
73 kitchen island|74 computer|75 swivel chair|76 boat|78 arcade machine|80 bus|81 towel|82 light
83 truck|85 chandelier|86 awning|87 streetlight|88 booth|89 television receiver|90 airplane
92 apparel|93 pole|95 bannister|97 ottoman|98 bottle|102 van|103 ship|104 fountain|107 washer
108 plaything|110 stool|111 barrel|112 basket|115 bag|116 minibike|118 oven|119 ball|120 food
121 step|123 trade name|124 microwave|125 pot|126 animal|127 bicycle|129 dishwasher|130 screen
132 sculpture|133 hood|134 sconce|135 vase|136 traffic light|137 tray|138 ashcan|139 fan|142 plate
143 monitor|144 bulletin board|146 radiator|147 glass|148 clock|149 flag
"""


# Labels with instances that are evaluated; caravan (29) and trailer (30) are ignored.
# Source: mcordts/cityscapesScripts @4b832633, cityscapesscripts/helpers/labels.py.
_CITYSCAPES: Final = """
24 person|25 rider|26 car|27 truck|28 bus|31 train|32 motorcycle|33 bicycle
"""


def _parse(text: str) -> dict[int, str]:
    entries = (entry.split(" ", 1) for entry in text.strip().replace("\n", "|").split("|"))
    return {int(number): name for number, name in entries}


# COCO 2017, ADE20K (SceneParsing 2016) and Cityscapes fine.
PUBLISHED: Final[Mapping[str, Published]] = {
    "coco": Published(
        title="COCO",
        images={"train": 118_287, "val": 5_000},
        classes=80,
        classes_per_image=3.5,
        instances_per_image=7.7,
        source="COCO paper: 80 classes, 3.5 categories and 7.7 instances an image",
        expected="annotations/instances_{train,val}2017.json, train2017/ and val2017/",
    ),
    "ade20k": Published(
        title="ADE20K",
        images={"train": 20_210, "val": 2_000},
        classes=100,
        classes_per_image=4.388,
        instances_per_image=9.669,
        source=FITTED,
        expected="images/ and annotations_instance/",
        categories=_parse(_ADE20K),
    ),
    "cityscapes": Published(
        title="Cityscapes",
        images={"train": 2_975, "val": 500},
        classes=8,
        classes_per_image=2.938,
        instances_per_image=16.919,
        source=FITTED,
        expected="leftImg8bit/ and gtFine/",
        categories=_parse(_CITYSCAPES),
    ),
}
