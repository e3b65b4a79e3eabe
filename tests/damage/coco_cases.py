"""COCO-format files: each fault, to every verb that reads one."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from damage.run import REFUSED, RIGHT, TOLD, Case

NAN, INF, HUGE = float("nan"), float("inf"), 10**400
Change = Callable[[dict[str, Any]], Any]
GOOD: dict[str, Any] = {
    "images": [{"id": n, "file_name": f"{n}.png", "height": 20, "width": 30} for n in (1, 2)],
    "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
    "annotations": [
        {
            "id": 10 + n,
            "image_id": n,
            "category_id": n,
            "bbox": [2, 2, 10, 10],
            "area": 100,
            "iscrowd": 0,
            "segmentation": [[2, 2, 12, 2, 12, 12, 2, 12]],
        }
        for n in (1, 2)
    ],
}


# of a sweep on that file
CARD = """base: tiny
name: own
datasets: [{name: own, root: ROOT, train: all, val: all}]
grid: {mask_shares: [0.5], types: [box]}
"""


def put(section: str, key: str, value: Any) -> Change:
    """The first record of a section with another value."""

    def change(content: dict[str, Any]) -> None:
        content[section][0][key] = value

    return change


def text(replace: str, by: str) -> Change:
    """The file's text with one spelling replaced by another."""
    return lambda content: json.dumps(content).replace(replace, by, 1)


# fault of the file, what each of the readers must say about it
FAULTS: dict[str, tuple[Change, str]] = {
    "id of NaN": (put("images", "id", NAN), "id is NaN; use a whole number"),
    "id of infinity": (put("images", "id", INF), "id is Infinity; use a whole number"),
    "id of 2^64": (put("images", "id", 2**64), "use a whole number"),
    "id of 2^70": (put("annotations", "id", 2**70), "use a whole number"),
    "id of 10^400": (put("annotations", "id", HUGE), "use a whole number"),
    "id of a fraction": (put("images", "id", 1.5), "id is 1.5; use a whole number"),
    "id of text": (put("categories", "id", "one"), 'id is "one"; use a whole number'),
    "id of null": (put("images", "id", None), "id is null; use a whole number"),
    "id of a list": (put("images", "id", [1]), "id is [1]; use a whole number"),
    "id that is missing": (lambda c: c["annotations"][0].pop("id"), "has no id"),
    "id twice": (put("annotations", "id", 12), "id 12 is used twice"),
    "image id of 10^400": (put("annotations", "image_id", HUGE), "use a whole number"),
    "image that is not there": (put("annotations", "image_id", 9), "image_id 9 is not in images"),
    "category of NaN": (put("annotations", "category_id", NAN), "category_id is NaN"),
    "category that is not there": (put("annotations", "category_id", 7), "is not in categories"),
    "area of NaN": (put("annotations", "area", NAN), "area is NaN; use a finite number"),
    "area of infinity": (put("annotations", "area", INF), "area is Infinity"),
    "area of minus infinity": (put("annotations", "area", -INF), "area is -Infinity"),
    "area of 10^400": (put("annotations", "area", HUGE), "use a finite number"),
    "area of text": (put("annotations", "area", "big"), 'area is "big"; use a number'),
    "area below zero": (put("annotations", "area", -1), "area is -1"),
    "box of NaN": (put("annotations", "bbox", [NAN, 0, 1, 1]), "bbox is [NaN, 0, 1, 1]"),
    "box of infinity": (put("annotations", "bbox", [0, 0, INF, 1]), "bbox is [0, 0, Infinity, 1]"),
    "box of 10^400": (put("annotations", "bbox", [0, 0, HUGE, 1]), "use [x, y, width, height]"),
    "box of three": (put("annotations", "bbox", [0, 0, 1]), "bbox is [0, 0, 1]"),
    "box of text": (put("annotations", "bbox", ["0", 0, 1, 1]), "use [x, y, width, height]"),
    "box turned inside out": (put("annotations", "bbox", [5, 5, -1, 3]), "bbox is [5, 5, -1, 3]"),
    "point of NaN": (put("annotations", "point", [NAN, 1]), "point is [NaN, 1]"),
    "crowd of 2": (put("annotations", "iscrowd", 2), "iscrowd is 2; use 0 or 1"),
    "crowd of text": (put("annotations", "iscrowd", "no"), "use a whole number"),
    "side of NaN": (put("images", "height", NAN), "height is NaN"),
    "side below zero": (put("images", "height", -4), "height and width is -4 and 30"),
    "sides of 2^40": (
        lambda c: c["images"][0].update(height=2**40, width=2**40),
        "at most 67,108,864 pixels",
    ),
    "side of 2^70": (put("images", "width", 2**70), "use a whole number"),
    "12,000 x 12,000": (
        lambda c: c["images"][0].update(height=12_000, width=12_000),
        "cut it into tiles or shrink it",
    ),
    "1 x 5,000": (
        lambda c: c["images"][0].update(height=1, width=5_000),
        "at most 64 times as long as wide",
    ),
    "name of a number": (put("images", "file_name", 3), "file_name is 3; use text"),
    "name with a NUL": (put("images", "file_name", "a\0.png"), "leave control characters"),
    "name with an escape": (put("images", "file_name", "\x1b[31m.png"), "leave control characters"),
    "half of a surrogate pair": (put("images", "file_name", "\ud800.png"), "halves of surrogate"),
    "name that leads out": (put("images", "file_name", "../1.png"), "relative to their folder"),
    "name from the root": (put("images", "file_name", "/etc/passwd"), "relative to their folder"),
    "picture twice": (put("images", "file_name", "2.png"), 'file_name "2.png" is used twice'),
    "class without a name": (put("categories", "name", ""), "give it a name"),
    "class of blanks": (put("categories", "name", "  "), "give it a name"),
    "class name of null": (put("categories", "name", None), "name is null; use text"),
    "class with a newline": (put("categories", "name", "a\nb"), "leave control characters"),
    "unknown type": (put("images", "omnicost_type", "boxes"), "use none, class, point, box, mask"),
    "record of a number": (lambda c: c["images"].append(3), "is 3; make it an object"),
    "record of null": (lambda c: c["annotations"].append(None), "is null; make it an object"),
}
# read by who needs masks only
MASKS: dict[str, tuple[Any, str]] = {
    "run of 2^63": ({"size": [20, 30], "counts": [2**63]}, "do not add to 20 x 30 pixels"),
    "run of 10^400": ({"size": [20, 30], "counts": [HUGE]}, "do not add to 20 x 30 pixels"),
    "run below zero": ({"size": [20, 30], "counts": [601, -1]}, "do not add to 20 x 30 pixels"),
    "RLE of another size": ({"size": [2**40, 1], "counts": [1]}, "is not the picture's"),
    "RLE of letters": ({"size": [20, 30], "counts": "zzz~"}, "outside its alphabet"),
    "polygon of NaN": ([[NAN, 1, 2, 3, 4, 5]], "is not a finite number"),
    "polygon of 10^400": ([[HUGE, 1, 2, 3, 4, 5]], "is not a finite number"),
    "polygon far away": ([[1e9, 1, 2, 3, 4, 5]], "far outside the picture"),
    "polygon of an odd count": ([[1, 2, 3, 4, 5, 6, 7]], "is not a list of x, y pairs"),
    "a mask of text": ("mask", "neither polygons nor RLE"),
    "a mask of lists in lists": ([[[[1]]]], ""),
}
# the file as a whole
WHOLE: dict[str, tuple[Change, str]] = {
    "no images": (lambda c: c.update(images=[]), "images is empty; list at least one image"),
    "no categories": (lambda c: c.update(categories=[]), "categories is empty"),
    "images of an object": (lambda c: c.update(images={}), "images is a dict"),
    "no annotations at all": (lambda c: c.pop("annotations"), "annotations is missing"),
    "a list": (lambda c: "[]", "holds a list, not an object"),
    "a number": (lambda c: "3", "holds a int, not an object"),
    "nothing": (lambda c: "", "is empty; give a JSON file"),
    "cut short": (lambda c: json.dumps(c)[:-9], "is not JSON"),
    "3,000 lists deep": (lambda c: "[" * 3000 + "]" * 3000, "is not JSON"),
    "200,000 lists deep": (lambda c: "[" * 200_000, "is not JSON"),
    "not UTF-8": (lambda c: b'{"images": "\xff"}', "is not JSON"),
    "a section twice": (text('"categories"', '"images": [], "categories"'), "occurs twice"),
    "an id twice in a record": (text('{"id": 11,', '{"id": 11, "id": 12,'), "occurs twice"),
    "a box twice in a record": (text('"area"', '"bbox": [1, 1, 1, 1], "area"'), "occurs twice"),
    "a number of 5,000 digits": (text("100,", "1" * 5000 + ","), "is not JSON"),
}
# told by `check`, and no reason for anybody to stop
NOTES: dict[str, tuple[Change, str]] = {
    "two classes of one name": (put("categories", "name", "dog"), "is one class with category 1"),
    "area of the box": (
        lambda c: c["annotations"][0].update(area=400, bbox=[2, 2, 10, 10]),
        "area 400, the mask has",
    ),
    "box elsewhere": (put("annotations", "bbox", [15, 2, 10, 10]), "box elsewhere than its mask"),
    "box outside": (put("annotations", "bbox", [25, 2, 10, 10]), "box outside its picture"),
    "mask drawn twice": (
        lambda c: c["annotations"].append(c["annotations"][0] | {"id": 99}),
        "mask drawn twice",
    ),
    "a parent that nobody uses": (
        lambda c: (
            c["categories"].append({"id": 3, "name": "animal"}),
            c["categories"][0].update(supercategory="animal"),
        ),
        "unused parent category",
    ),
}
FINE: dict[str, Change] = {
    "as it should be": lambda c: None,
    "whole numbers written as 1.0": put("annotations", "category_id", 1.0),
    "ids of 2^62": put("annotations", "id", 2**62),
    "brackets in names": put("categories", "name", "[bold]cat[/]"),
    "right-to-left names": put("categories", "name", "חתול"),
    "names of 5,000 letters": put("categories", "name", "x" * 5000),
    "a formula for a name": put("categories", "name", "=cmd|'/c calc'!A0"),
    "fields that nobody knows": put("annotations", "attributes", {"id": 5}),
    "a byte order mark": lambda c: b"\xef\xbb\xbf" + json.dumps(c).encode(),
}


def verbs(folder: Path) -> dict[str, list[str]]:
    """The command lines that read the file in that folder."""
    path = str(folder / "instances.json")
    return {
        "check": ["data", "check", path],
        "stats": ["data", "stats", path],
        "cost": ["cost", "--annotations", path],
        "plan": ["plan", "--annotations", path, "--like", "coco", "--budget", "2h"],
        "sweep": ["sweep", str(folder / "card.yaml"), "--dry-run", "--store", str(folder / "store"),
                  "--results", str(folder / "results")],
    }  # fmt: skip


def written(change: Change) -> Callable[[Path], Path]:
    """Writes the good set after a change of its json, pictures and a card included."""

    def write(folder: Path) -> Path:
        content = copy.deepcopy(GOOD)
        changed = change(content)
        for n in (1, 2):
            pixels = np.full((20, 30, 3), n, np.uint8)
            Image.fromarray(pixels).save(folder / f"{n}.png")
        raw = changed if isinstance(changed, str | bytes) else json.dumps(content)
        data = raw if isinstance(raw, bytes) else raw.encode()
        place = folder / "instances.json"
        place.write_bytes(data)
        (folder / "card.yaml").write_text(CARD.replace("ROOT", str(place)))
        return folder

    return write


def case(kind: str, name: str, verb: str, change: Change, must: str, said: str) -> Case:
    """One change of the file, to one verb."""
    write = written(change)
    return Case(kind, f"{name}, {verb}", lambda folder: verbs(write(folder))[verb], must, said)


VERBS = ("check", "stats", "cost", "plan", "sweep")
CASES: list[Case] = [
    *(
        case("record", name, verb, change, TOLD if verb == "check" else REFUSED, said.split(";")[0])
        for name, (change, said) in FAULTS.items()
        for verb in VERBS
    ),
    *(
        case("mask", name, verb, put("annotations", "segmentation", mask), must, said)
        for name, (mask, said) in MASKS.items()
        for verb, must in (("check", TOLD), ("stats", REFUSED), ("sweep", REFUSED))
    ),
    *(
        case("file", name, verb, change, REFUSED, said)
        for name, (change, said) in WHOLE.items()
        for verb in VERBS
    ),
    *(
        case(
            "note", name, verb, change, TOLD if verb == "check" else RIGHT, said * (verb == "check")
        )
        for name, (change, said) in NOTES.items()
        for verb in ("check", "stats", "cost", "sweep")
    ),
    *(
        case("fine", name, verb, change, RIGHT, "")
        for name, change in FINE.items()
        for verb in ("check", "stats", "cost", "sweep")
    ),
]
