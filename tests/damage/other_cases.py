"""Pictures, special files, exports, labelling times, and outputs that would replace a file."""

from __future__ import annotations

import base64
import io
import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import label_exports as tools
import numpy as np
from PIL import Image

from damage.coco_cases import GOOD, NAN, verbs, written
from damage.run import REFUSED, RIGHT, TOLD, Case


def with_picture(spoil: Callable[[Path], object]) -> Callable[[Path], list[str]]:
    """Checks the good set after something happened to a picture."""

    def make(folder: Path) -> list[str]:
        written(lambda content: None)(folder)
        spoil(folder / "1.png")
        return verbs(folder)["check"]

    return make


def fifo(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def bound_socket(path: Path) -> None:
    path.unlink()
    here = os.getcwd()
    os.chdir(path.parent)  # the names of sockets are short
    try:
        socket.socket(socket.AF_UNIX).bind(path.name)
    finally:
        os.chdir(here)


def linked(path: Path) -> None:
    outside = path.parent.parent / f"outside-{path.parent.name}.png"
    path.rename(outside)
    path.symlink_to(outside)


def half_a_jpeg(path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (20, 30, 3)).astype(np.uint8)
    Image.fromarray(noise).save(path, "JPEG", quality=95)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


PICTURES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (Path.unlink, "missing picture"),
    "empty": (lambda path: path.write_bytes(b""), "faulty picture"),
    "no picture": (lambda path: path.write_text("hello"), "faulty picture"),
    "half a JPEG": (half_a_jpeg, "faulty picture"),
    "half a PNG": (lambda path: path.write_bytes(path.read_bytes()[:-20]), "faulty picture"),
    "of another size": (lambda path: Image.new("RGB", (31, 20)).save(path), "of another size"),
    "of too many pixels": (
        lambda path: Image.new("1", (9000, 9000)).save(path), "has 9000 x 9000 pixels"
    ),
    "a FIFO": (fifo, "is a FIFO, a socket or a device"),
    "a socket": (bound_socket, "is a FIFO, a socket or a device"),
    "a device": (
        lambda path: (path.unlink(), path.symlink_to("/dev/zero")),
        "is a FIFO, a socket or a device",
    ),
    "a link that leads out": (linked, "picture outside the set"),
    "a link to itself": (lambda path: (path.unlink(), path.symlink_to(path)), "faulty picture"),
    "a folder": (lambda path: (path.unlink(), path.mkdir()), "faulty picture"),
}  # fmt: skip


def instead_of_json(spoil: Callable[[Path], object], verb: str) -> Callable[[Path], list[str]]:
    def make(folder: Path) -> list[str]:
        spoil(folder / "instances.json")
        return verbs(folder)[verb]

    return make


def importing(name: str, content: str | bytes) -> Callable[[Path], list[str]]:
    """Imports an export of that name and content."""

    def make(folder: Path) -> list[str]:
        tools.photos(folder / "photos")
        path = folder / "export" / name
        path.parent.mkdir(parents=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        given = path if path.suffix in (".json", ".xml", ".zip") else folder / "export"
        arguments = ["--images", str(folder / "photos"), "--out", str(folder / "set")]
        return ["data", "import", str(given), *arguments]

    return make


def tasks(change: Callable[[dict[str, Any]], object]) -> str:
    """Label Studio's export with the first region of the first task changed."""
    made = tools.label_studio()
    change(made[0]["annotations"][0]["result"][0])
    return json.dumps(made)


def brush(bytes_: Any) -> str:
    return tasks(lambda region: region["value"].update(rle=bytes_))


def labelme(**changes: Any) -> str:
    """LabelMe's file of one mask, its shape changed."""
    shape = tools.labelme_shape("cat", "mask") | changes
    return json.dumps({"imagePath": "a/mask.png", "shapes": [shape]})


def masked(picture: Image.Image) -> str:
    """As LabelMe writes a mask."""
    picture.save(content := io.BytesIO(), "PNG")
    return base64.b64encode(content.getvalue()).decode()


def manifested(spoil: str | Callable[[Path], object]) -> Callable[[Path], list[str]]:
    """Imports a good export with a manifest of that content."""

    def make(folder: Path) -> list[str]:
        arguments = importing("e.json", json.dumps(tools.label_studio()))(folder)
        path = folder / "manifest.csv"
        path.write_text(spoil) if isinstance(spoil, str) else spoil(path)
        return [*arguments, "--manifest", str(path)]

    return make


HEAD = "file_name,annotation_type\n"
MANIFESTS: dict[str, tuple[str | Callable[[Path], object], str, str]] = {
    "as it should be": (HEAD + "a/mask.png,mask\nb/empty.png,mask\n", RIGHT, "6 images"),
    "none for what was drawn": (HEAD + "a/mask.png,none\nb/tag.png,class\n", RIGHT, "mask 1"),
    "a FIFO": (fifo, REFUSED, "is a FIFO, a socket or a device"),
    "a device": (lambda path: path.symlink_to("/dev/zero"), REFUSED, "is a FIFO, a socket or a"),
    "a folder": (Path.mkdir, REFUSED, "cannot be read"),
    "a picture": (lambda path: path.write_bytes(b"\x89PNG\r\n\xff"), REFUSED, "is no table"),
    "JSON": ("[1]", REFUSED, "has no column annotation_type"),
    "nothing": ("", REFUSED, "has no column annotation_type"),
    "a field of 200,000 letters": (HEAD + "x" * 200_000 + ",box", REFUSED, "is no table"),
    "a name twice": (HEAD + "a/mask.png,mask\n" * 2, REFUSED, "names 'a/mask.png' twice"),
    "a column twice": (
        "file_name,annotation_type,annotation_type\na/mask.png,box,mask", REFUSED,
        "has two columns 'annotation_type'",
    ),
    "an unknown type": (HEAD + "a/mask.png,blob", REFUSED, "unknown annotation type 'blob'"),
    "a row cut short": (HEAD + "a/mask.png", REFUSED, "unknown annotation type ''"),
    "other photos": (HEAD + "c.png,box", REFUSED, "names none of the photos"),
}  # fmt: skip
BILLION = '<!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY c "&b;&b;&b;">]><annotations>&c;</annotations>'
OUTSIDE = '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><annotations>&b;</annotations>'
EXPORTS: dict[str, tuple[str, str | bytes, str, str]] = {
    "as it should be": ("e.json", json.dumps(tools.label_studio()), RIGHT, "6 images"),
    "XML that multiplies": ("e.xml", BILLION, REFUSED, "declares a document type"),
    "XML that reads a file": ("e.xml", OUTSIDE, REFUSED, "declares a document type"),
    "XML cut short": ("e.xml", tools.cvat()[:-30], REFUSED, "is not XML"),
    "XML of 100,000 levels": ("e.xml", "<a>" * 100_000, REFUSED, "is not XML"),
    "XML of something else": ("e.xml", "<html></html>", REFUSED, "no photo has a label"),
    "a zip": ("e.zip", b"PK", REFUSED, "unpack it"),
    "JSON of something else": ("e.json", '{"a": 1}', REFUSED, "no export that is known"),
    "JSON with a key twice": ("e.json", '[{"id": 1, "id": 2}]', REFUSED, "occurs twice"),
    "tasks of numbers": ("e.json", "[1, 2]", REFUSED, "no photo has a label"),
    "brush cut short": ("e.json", brush([0, 0, 9]), TOLD, "region that cannot be read"),
    "brush of nothing": ("e.json", brush([]), TOLD, "region that cannot be read"),
    "brush of text": ("e.json", brush("abc"), TOLD, "region that cannot be read"),
    "brush of 2^31 pixels": (
        "e.json", brush([127, 255, 255, 255, 57, 0]), TOLD, "region that cannot be read"
    ),
    "percent of infinity": (
        "e.json", json.dumps(tools.label_studio()).replace('"x": 2', '"x": 1e999, "z": 2'), TOLD,
        "not a finite number",
    ),
    "a picture of 2^40 sides": (
        "e.json", tasks(lambda r: r.update(original_width=2**40, original_height=2**40)), TOLD,
        "region that cannot be read",
    ),
    "YOLO without names": ("labels/a/b.txt", "1 1 2 3 4", REFUSED, "a YOLO folder with data.yaml"),
    "a LabelMe file cut short": ("x.json", "{", REFUSED, "is not JSON"),
    "an empty LabelMe": ("x.json", '{"shapes": []}', REFUSED, "no photo has a label"),
}  # fmt: skip


EXPORTS |= {
    f"LabelMe, {name}": ("e.json", labelme(**changes), TOLD, text)
    for name, (changes, text) in {
        "as it should be": ({}, "mask 1"),
        "a mask of rubbish": ({"mask": "cnViYmlzaA=="}, "mask that cannot be read"),
        "a mask of null": ({"mask": None}, "mask that cannot be read"),
        "a mask cut short": (
            {"mask": masked(Image.new("L", (300, 300), 9))[:120]}, "mask that cannot be read"
        ),
        "a mask of 20,000 x 20,000": (
            {"mask": masked(Image.new("1", (20_000, 20_000)))}, "mask that cannot be read"
        ),
        "a frame of NaN": ({"points": [[NAN, 1], [5, 5]]}, "shape that cannot be read"),
        "a group of a list": (
            {"shape_type": "polygon", "points": [[1, 1], [9, 1], [9, 9]], "group_id": [1]},
            "shape of an unreadable group",
        ),
    }.items()
}  # fmt: skip


def times(content: str | bytes) -> Callable[[Path], list[str]]:
    def make(folder: Path) -> list[str]:
        data = content if isinstance(content, bytes) else content.encode()
        (folder / "times.yaml").write_bytes(data)
        return ["cost", "--dataset", "coco", "--times", str(folder / "times.yaml")]

    return make


TIMES: dict[str, tuple[str | bytes, str, str]] = {
    "NaN": ("box: .nan", REFUSED, "box.seconds is nan"),
    "infinity": ("box: .inf", REFUSED, "box.seconds is inf"),
    "10^400": (f"box: {10**400}", REFUSED, "box"),
    "a date": ("box: 2026-01-01", REFUSED, "box"),
    "an anchor to itself": ("box: &a [*a]", REFUSED, "refers to what contains it"),
    "3,000 nested lists": ("box: " + "[" * 3000 + "]" * 3000, REFUSED, "nested too deeply"),
    "an object of Python": ("box: !!python/name:os.system", REFUSED, "is not YAML"),
    "a key twice": ("box: 7\nbox: 8", REFUSED, "the key 'box' occurs twice"),
    "not UTF-8": (b"\xff\xfe\xff", REFUSED, "is not YAML"),
    "empty": ("", REFUSED, "holds nothing"),
    "unknown": ("boxes: 7", REFUSED, "boxes: unknown field"),
    "brackets in a source": ("box: {seconds: 7, source: '[red]x[/]'}", RIGHT, ""),
}


def overwriting(name: str, arguments: Callable[[Path], list[str]]) -> Callable[[Path], list[str]]:
    """A command whose output is somebody's file of that name."""

    def make(folder: Path) -> list[str]:
        written(lambda content: None)(folder)
        (folder / name).write_text("mine")
        return arguments(folder)

    return make


def export_to(out: str) -> Callable[[Path], list[str]]:
    return lambda folder: [
        "export", str(folder / "instances.json"), "--split", "all", "--out", str(folder / out)
    ]  # fmt: skip


CASES: list[Case] = [
    *(
        Case("picture", name, with_picture(spoil), TOLD, text)
        for name, (spoil, text) in PICTURES.items()
    ),
    *(
        Case("special file", f"{name}, {verb}", instead_of_json(spoil, verb), REFUSED, "")
        for name, spoil in {
            "a FIFO for json": fifo,
            "a folder for json": Path.mkdir,
            "a device for json": lambda path: path.symlink_to("/dev/zero"),
            "nothing for json": lambda path: None,
        }.items()
        for verb in ("check", "stats", "cost", "plan")
    ),
    *(
        Case("export", name, importing(file, content), must, text)
        for name, (file, content, must, text) in EXPORTS.items()
    ),
    *(
        Case("manifest", name, manifested(spoil), must, text)
        for name, (spoil, must, text) in MANIFESTS.items()
    ),
    *(Case("times", name, times(given), must, text) for name, (given, must, text) in TIMES.items()),
    Case("overwriting", "somebody's file", overwriting("out.json", export_to("out.json")), REFUSED,
         "was not written by omnicost"),
    Case("overwriting", "the input", lambda folder: export_to("instances.json")(
        written(lambda content: None)(folder)), REFUSED, "is an input of this command"),
    Case("overwriting", "a device", lambda folder: [
        "export", str(written(lambda content: None)(folder) / "instances.json"), "--split", "all",
        "--out", "/dev/null"], REFUSED, "not a regular file"),
]  # fmt: skip
assert GOOD
