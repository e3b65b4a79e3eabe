"""Contact sheets of the tiny world: pictures, and the same pictures with their masks.

Example:
    python -m analysis.tiny.worlds out/tiny_world
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from omnicost.data.tiny.raster import hsv_to_rgb
from omnicost.data.tiny.world import SPECS, Scene, WorldSpec, render

ZOOM = 3
MARGIN = 4


def enlarge(image: NDArray[np.uint8], zoom: int = ZOOM) -> NDArray[np.uint8]:
    """Repeat every pixel zoom x zoom times."""
    return np.asarray(image.repeat(zoom, axis=0).repeat(zoom, axis=1))


def outline(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels of a mask with a neighbour outside it."""
    padded = np.pad(mask, 1)
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return np.asarray(mask & ~inner)


def overlay(
    image: NDArray[np.uint8], masks: NDArray[np.bool_], names: list[str], zoom: int = ZOOM
) -> NDArray[np.uint8]:
    """An enlarged picture with masks tinted and outlined, and names written on them."""
    canvas = enlarge(image, zoom).copy()
    for number, mask in enumerate(masks):
        colour = np.array(hsv_to_rgb(number * 137, 85, 100))
        large = mask.repeat(zoom, axis=0).repeat(zoom, axis=1)
        canvas[large] = (canvas[large] * 0.6 + colour * 0.4).astype(np.uint8)
        canvas[outline(large)] = colour
    picture = Image.fromarray(canvas)
    pen = ImageDraw.Draw(picture)
    for mask, name in zip(masks, names, strict=True):
        rows, columns = np.nonzero(mask)
        where = (int(columns.min()) * zoom + 1, int(rows.min()) * zoom)
        pen.text(where, name, fill="white", stroke_width=1, stroke_fill="black")
    return np.asarray(picture)


def tile(images: list[NDArray[np.uint8]], columns: int) -> Image.Image:
    """Pictures of one size in a grid, row by row."""
    height, width = images[0].shape[0] + MARGIN, images[0].shape[1] + MARGIN
    sheet = Image.new("RGB", (columns * width, -(-len(images) // columns) * height), "white")
    for number, image in enumerate(images):
        sheet.paste(Image.fromarray(image), (number % columns * width, number // columns * height))
    return sheet


def sheet(spec: WorldSpec, split: str, count: int, columns: int = 6) -> Image.Image:
    """`count` pictures of a split, each row followed by the same pictures with masks."""
    tiles: list[NDArray[np.uint8]] = []
    for first in range(0, count, columns):
        scenes = [render(spec, split, index) for index in range(first, first + columns)]
        tiles += [enlarge(scene.image) for scene in scenes]
        tiles += [overlay(scene.image, scene.masks, _names(spec, scene)) for scene in scenes]
        if spec.segments:
            tiles += [_some_segments(scene) for scene in scenes]
    return tile(tiles, columns)


def _names(spec: WorldSpec, scene: Scene) -> list[str]:
    return [spec.class_names[index] for index in scene.class_indices]


def _some_segments(scene: Scene, most: int = 8) -> NDArray[np.uint8]:
    """A few of a picture's parts, wholes and groups."""
    step = max(len(scene.segments) // most, 1)
    chosen = scene.segments[::step][:most]
    return overlay(scene.image, chosen, [""] * len(chosen))


def main() -> None:
    """Write one sheet per world."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the sheets go")
    parser.add_argument("--count", type=int, default=24, help="pictures per sheet")
    parser.add_argument("--split", default="val")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    for name, spec in SPECS.items():
        path = options.folder / f"{name}.png"
        sheet(spec, options.split, options.count).save(path)
        print(path)


if __name__ == "__main__":
    main()
