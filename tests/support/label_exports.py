"""Labels as labelling tools export them, written after the tools' documents, not by omnicost."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np
from data_samples import ellipse
from PIL import Image

from omnicost.data import Dataset, open_dataset
from omnicost.data.imports.photos import Photos
from omnicost.data.imports.read import read_export
from omnicost.data.imports.write import Imported, write_set

HEIGHT, WIDTH = 40, 60
MASK = ellipse(HEIGHT, WIDTH, 20, 25, 9, 12)
BOX = (5.0, 6.0, 30.0, 26.0)
POINT = (15.5, 20.5)
OUTLINE = (10.0, 5.0, 50.0, 5.0, 30.0, 35.0)
# file, what is drawn: (class, shape); one image of each type and one looked at in vain
IMAGES: dict[str, list[tuple[str, str]]] = {
    "a/mask.png": [("cat", "mask"), ("dog", "polygon")],
    "a/box.png": [("cat", "box"), ("cat", "box2")],
    "b/point.png": [("dog", "point")],
    "b/tag.png": [("cat", "tag"), ("dog", "tag")],
    "b/empty.png": [],
}
BOX2 = (31.0, 6.0, 59.0, 38.0)
SHAPES = {"box": BOX, "box2": BOX2}


def photos(folder: Path) -> Path:
    """The pictures, and one that no export names."""
    for n, name in enumerate([*IMAGES, "b/unseen.png"]):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(n).integers(0, 255, (HEIGHT, WIDTH, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(path)
    return folder


def label_studio(types: dict[str, str] | None = None) -> list[dict[str, Any]]:
    """Tasks as `exportType=JSON` gives them, uploads with a prefix."""
    return [
        {
            "id": n,
            "data": {"image": f"/data/upload/1/0123abcd-{name.rpartition('/')[2]}"}
            | ({"annotation_type": types[name]} if types else {}),
            "annotations": [
                {
                    "id": 100 + n,
                    "was_cancelled": False,
                    "lead_time": 3.5,
                    "updated_at": "2026-01-01T00:00:00Z",
                    "result": [region(*each, f"r{n}{m}") for m, each in enumerate(drawn)],
                }
            ],
        }
        for n, (name, drawn) in enumerate(IMAGES.items())
    ]


def region(label: str, shape: str, name: str, **more: Any) -> dict[str, Any]:
    """One region of a Label Studio annotation."""
    head = {
        "id": name,
        "original_width": WIDTH,
        "original_height": HEIGHT,
        "image_rotation": 0,
        "from_name": "label",
        "to_name": "image",
    } | more
    if shape == "tag":
        return head | {"type": "choices", "value": {"choices": [label]}}
    if shape in SHAPES:
        x0, y0, x1, y1 = SHAPES[shape]
        value = {"x": x0 / WIDTH * 100, "y": y0 / HEIGHT * 100, "rotation": 0}
        value |= {"width": (x1 - x0) / WIDTH * 100, "height": (y1 - y0) / HEIGHT * 100}
        return head | {"type": "rectanglelabels", "value": value | {"rectanglelabels": [label]}}
    if shape == "point":
        value = {"x": POINT[0] / WIDTH * 100, "y": POINT[1] / HEIGHT * 100, "width": 0.5}
        return head | {"type": "keypointlabels", "value": value | {"keypointlabels": [label]}}
    if shape == "polygon":
        sides = np.array([WIDTH, HEIGHT])
        points = (np.array(OUTLINE).reshape(-1, 2) / sides * 100).tolist()
        value = {"points": points, "closed": True, "polygonlabels": [label]}
        return head | {"type": "polygonlabels", "value": value}
    value = {"format": "rle", "rle": brush(MASK), "brushlabels": [label]}
    return head | {"type": "brushlabels", "value": value}


def brush(mask: np.ndarray) -> list[int]:
    """The brush format as Label Studio's editor may write it: every byte on its own, no runs."""
    values = np.repeat(mask.ravel() * np.uint8(255), 4).tolist()
    bits = f"{len(values):032b}{7:05b}{2:04b}{3:04b}{7:04b}{15:04b}"
    for start in range(0, len(values), 2**16):
        chunk = values[start : start + 2**16]
        bits += f"011{len(chunk) - 1:016b}" + "".join(f"{value:08b}" for value in chunk)
    bits += "0" * (-len(bits) % 8)
    return [int(bits[n : n + 8], 2) for n in range(0, len(bits), 8)]


def cvat() -> str:
    """`annotations.xml` of CVAT for images 1.1."""
    images = "".join(
        f'<image id="{n}" name={quoteattr(name)} width="{WIDTH}" height="{HEIGHT}">'
        + "".join(cvat_shape(*each) for each in drawn)
        + "</image>"
        for n, (name, drawn) in enumerate(IMAGES.items())
    )
    labels = "".join(f"<label><name>{each}</name></label>" for each in ("cat", "dog"))
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<annotations><version>1.1</version><meta><task>'
        f"<labels>{labels}</labels></task></meta>{images}</annotations>"
    )


def cvat_shape(label: str, shape: str) -> str:
    if shape == "tag":
        return f'<tag label="{label}" source="manual"></tag>'
    if shape in SHAPES:
        sides = zip(("xtl", "ytl", "xbr", "ybr"), SHAPES[shape], strict=True)
        corners = " ".join(f'{name}="{value:.2f}"' for name, value in sides)
        return f'<box label="{label}" occluded="0" {corners} z_order="0"></box>'
    if shape == "point":
        return f'<points label="{label}" points="{POINT[0]:.2f},{POINT[1]:.2f}"></points>'
    if shape == "polygon":
        pairs = np.array(OUTLINE).reshape(-1, 2).tolist()
        points = ";".join(f"{x:.2f},{y:.2f}" for x, y in pairs)
        return f'<polygon label="{label}" points="{points}"></polygon>'
    rows, columns = np.flatnonzero(MASK.any(axis=1)), np.flatnonzero(MASK.any(axis=0))
    frame = MASK[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    flat = frame.ravel().astype(np.int8)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flat]))).tolist()
    runs = np.diff([0, *edges, flat.size]).tolist()
    place = f'left="{columns[0]}" top="{rows[0]}" width="{frame.shape[1]}" height="{len(frame)}"'
    return f'<mask label="{label}" rle="{", ".join(map(str, runs))}" {place}></mask>'


def yolo(folder: Path) -> Path:
    """A YOLO folder with boxes and outlines."""
    (folder / "data.yaml").parent.mkdir(parents=True, exist_ok=True)
    (folder / "data.yaml").write_text("names: {0: cat, 1: dog}\ntrain: images\n")
    lines = {
        "a/box": [_yolo_box(0, BOX), _yolo_box(0, BOX2)],
        "b/point": [
            "1 " + " ".join(f"{n / (WIDTH, HEIGHT)[m % 2]}" for m, n in enumerate(OUTLINE))
        ],
        "b/empty": [],
    }
    for name, content in lines.items():
        path = folder / "labels" / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(content) + "\n")
    return folder


def _yolo_box(kind: int, box: tuple[float, ...]) -> str:
    x0, y0, x1, y1 = box
    numbers = (x0 + x1) / 2 / WIDTH, (y0 + y1) / 2 / HEIGHT, (x1 - x0) / WIDTH, (y1 - y0) / HEIGHT
    return f"{kind} " + " ".join(f"{each:.8f}" for each in numbers)


def labelme(folder: Path) -> Path:
    """A LabelMe file a picture."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, drawn in IMAGES.items():
        content = {
            "version": "5.5.0",
            "flags": {label: True for label, shape in drawn if shape == "tag"},
            "shapes": [labelme_shape(*each) for each in drawn if each[1] != "tag"],
            "imagePath": f"..\\{name.rpartition('/')[2]}",
            "imageHeight": HEIGHT,
            "imageWidth": WIDTH,
        }
        (folder / f"{Path(name).stem}.json").write_text(json.dumps(content))
    return folder


def labelme_shape(label: str, shape: str) -> dict[str, Any]:
    head: dict[str, Any] = {"label": label, "group_id": None, "flags": {}}
    if shape in SHAPES:
        points = np.array(SHAPES[shape]).reshape(2, 2).tolist()
        return head | {"shape_type": "rectangle", "points": points}
    if shape == "point":
        return head | {"shape_type": "point", "points": [list(POINT)]}
    if shape == "polygon":
        return head | {"shape_type": "polygon", "points": np.array(OUTLINE).reshape(-1, 2).tolist()}
    rows, columns = np.flatnonzero(MASK.any(axis=1)), np.flatnonzero(MASK.any(axis=0))
    frame = MASK[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    packed = io.BytesIO()
    Image.fromarray(frame).save(packed, "PNG")
    corners = [[int(columns[0]), int(rows[0])], [int(columns[-1]), int(rows[-1])]]
    text = base64.b64encode(packed.getvalue()).decode()
    return head | {"shape_type": "mask", "points": corners, "mask": text}


def saved(folder: Path, tool: str) -> Path:
    """A tool's export of the same labels."""
    if tool == "cvat":
        (folder / "annotations.xml").write_text(cvat())
        return folder / "annotations.xml"
    if tool == "label-studio":
        (folder / "export.json").write_text(json.dumps(label_studio()))
        return folder / "export.json"
    return labelme(folder / "labelme")


def imported(export: Path, photos: Path, out: Path, **options: Any) -> tuple[Imported, Dataset]:
    done = write_set(read_export(export), Photos(photos), out, **options)
    return done, open_dataset(out, "all")


def reasons(done: Imported) -> list[str]:
    return sorted({each.reason for each in done.skipped})


def by_name(dataset: Dataset) -> dict[str, int]:
    return {str(name): n for n, name in enumerate(dataset.file_names)}
