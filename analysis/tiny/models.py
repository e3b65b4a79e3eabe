"""What the shipped tiny models do without any training on the data set: a table and pictures.

Prints every figure measured now beside the one on the model's card, and writes contact sheets of
held-out pictures: SAM's masks from boxes and from points, the detector's boxes for captions with
the picture's own classes and with all, and the names that CLIP gives to crops.

Example:
    python -m analysis.tiny.models out/tiny_models
    python -m analysis.tiny.models out/tiny_models --write     # figures measured now onto the cards
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch.nn.functional import interpolate
from transformers import AutoTokenizer, CLIPModel, ResNetBackbone
from transformers.utils import logging

from analysis.tiny.worlds import enlarge, overlay, tile
from omnicost.data.tiny.world import SPECS, Scene
from omnicost.errors import MissingError
from omnicost.models.detectors.detector import load_detector
from omnicost.models.teachers.teacher import load_promptable
from omnicost.models.tiny import TINY_MODELS, TinyModel, weights_path
from omnicost.models.tiny.pretrain import backbone, detection_figures, sam, student, text
from omnicost.models.tiny.pretrain.card import read_figures, update_figures
from omnicost.models.tiny.pretrain.pictures import DATASETS, scenes, tight_boxes, to_pixel_values

ZOOM = 4
PICTURES = 7  # of each data set on a sheet
Painted = NDArray[np.uint8]


def load(name: TinyModel) -> tuple[Any, Any]:
    """A shipped model and its tokenizer, if it has one."""
    path = weights_path(name)
    if name == "sam":
        return load_promptable("tiny").model, None
    if name == "detector":
        detector = load_detector("tiny")
        return detector.model, detector.tokenizer
    if name == "backbone":
        return ResNetBackbone.from_pretrained(path).eval(), None
    if name == "student":
        return student.shipped(), None
    return CLIPModel.from_pretrained(path).eval(), AutoTokenizer.from_pretrained(path)


def measure(name: TinyModel, model: Any, tokenizer: Any) -> dict[str, float]:
    """The zero-shot figures of a model, as its recipe measures them."""
    if name == "sam":
        return sam.figures(model)
    if name == "backbone":
        return backbone.figures(model) | backbone.untrained_figures(backbone.build())
    if name == "student":
        return student.figures(model)
    module: Any = detection_figures if name == "detector" else text
    return dict(module.figures(model, tokenizer))


def figures_table(name: TinyModel, measured: dict[str, float]) -> Table:
    """Figures by data set, each with the card's in brackets when it differs by over 0.005."""
    card = read_figures(weights_path(name))
    table = Table("figure", *DATASETS, title=f"tiny {name}")
    for figure in dict.fromkeys(key.split("/")[1] for key in measured):
        row = []
        for world in DATASETS:
            key = f"{world}/{figure}"
            differs = abs(measured[key] - card[key]) > 0.005
            row.append(f"{measured[key]:.3f}" + (f" (card {card[key]:.3f})" if differs else ""))
        table.add_row(figure, *row)
    return table


def by_picture(pictures: list[Scene], rows: list[Callable[[int], Painted]]) -> Image.Image:
    """A sheet with a column for every picture and one row for each way of painting it."""
    tiles = [paint(index) for paint in rows for index in range(len(pictures))]
    return tile(tiles, len(pictures))


def truth(pictures: list[Scene], world: str, index: int) -> Painted:
    """The picture with its labels."""
    scene = pictures[index]
    names = [SPECS[world].class_names[number] for number in scene.class_indices]
    return overlay(scene.image, scene.masks, names, ZOOM)


@torch.no_grad()
def sam_masks(model: Any, pictures: list[Scene], world: str, kind: str, index: int) -> Painted:
    """The picture with SAM's mask for each of its instances, and the prompts."""
    scene = pictures[index]
    targets = sam.held_out_targets([scene], kind, world)
    embedding = sam.embed(model, targets.images)
    _, answer = sam.ask(model, embedding, targets, kind)
    best = answer.iou.argmax(dim=1)
    chosen = answer.logits[torch.arange(len(best)), best][:, None]
    masks = (interpolate(chosen, scene.image.shape[:2], mode="bilinear")[:, 0] > 0).numpy()
    names = [
        f"{value:.2f}" if mask.any() else ""
        for value, mask in zip(answer.iou.max(dim=1).values.tolist(), masks, strict=True)
    ]
    shown = masks.any(axis=(1, 2))
    kept = [name for name, keep in zip(names, shown, strict=True) if keep]
    canvas = Image.fromarray(overlay(scene.image, masks[shown], kept, ZOOM))
    pen = ImageDraw.Draw(canvas)
    for box, (x, y) in zip(targets.boxes * ZOOM, targets.points * ZOOM, strict=True):
        if kind == "box":
            pen.rectangle(box.tolist(), outline="white")
        else:
            pen.ellipse((x - 3, y - 3, x + 3, y + 3), fill="red", outline="white")
    return np.asarray(canvas)


def boxes_found(
    detector: tuple[Any, Any], pictures: list[Scene], world: str, kind: str, index: int
) -> Painted:
    """The picture with the boxes over 0.3, for one kind of caption."""
    scene = pictures[index]
    found = detection_figures.detect_in_batches(*detector, [scene], world, kind)[0]
    canvas = Image.fromarray(enlarge(scene.image, ZOOM))
    pen = ImageDraw.Draw(canvas)
    for box, number, score in zip(*found, strict=True):
        if score >= detection_figures.CONFIDENCE:
            present = number in scene.class_indices
            colour = "lime" if present else "red"
            pen.rectangle((box * ZOOM).tolist(), outline=colour)
            label = f"{SPECS[world].class_names[number]} {score:.1f}"
            where = (float(box[0]) * ZOOM + 2, float(box[1]) * ZOOM)
            pen.text(where, label, fill="white", stroke_width=1, stroke_fill="black")
    return np.asarray(canvas)


def truth_boxes(pictures: list[Scene], world: str, index: int) -> Painted:
    """The picture with the boxes of its labels."""
    scene = pictures[index]
    canvas = Image.fromarray(enlarge(scene.image, ZOOM))
    pen = ImageDraw.Draw(canvas)
    for box, number in zip(tight_boxes(scene.masks), scene.class_indices, strict=True):
        pen.rectangle((box * ZOOM).tolist(), outline="white")
        where = (float(box[0]) * ZOOM + 2, float(box[1]) * ZOOM)
        name = SPECS[world].class_names[number]
        pen.text(where, name, fill="white", stroke_width=1, stroke_fill="black")
    return np.asarray(canvas)


@torch.no_grad()
def named_crops(clip: tuple[Any, Any], pictures: list[Scene], world: str) -> Image.Image:
    """Crops with the name that CLIP finds nearest: green if right, else red over the right one."""
    model, tokenizer = clip
    names = SPECS[world].class_names
    captions = [text.TEMPLATES[0].format(name) for name in names]
    tokens = tokenizer(captions, padding=True, return_tensors="pt")
    crops, classes = text.crops_of(pictures, text.HELD_OUT_MARGIN)
    values = to_pixel_values(crops, text.MEAN, text.STD)
    answers = text.scores_of(model, tokens, values).argmax(1).tolist()
    tiles = []
    for picture, answer, right in zip(crops, answers, classes, strict=True):
        canvas = Image.fromarray(enlarge(picture, ZOOM))
        pen = ImageDraw.Draw(canvas)
        colour = "lime" if answer == right else "red"
        pen.text((2, 0), names[answer], fill=colour, stroke_width=1, stroke_fill="black")
        if answer != right:
            pen.text((2, 12), names[right], fill="white", stroke_width=1, stroke_fill="black")
        tiles.append(np.asarray(canvas))
    return tile(tiles, 12)


def sheet(name: TinyModel, model: Any, tokenizer: Any, world: str) -> Image.Image | None:
    """The contact sheet of a model on a data set; backbone and student have none."""
    pictures = scenes(world, "val", range(PICTURES))
    if name == "sam":
        answers = [partial(sam_masks, model, pictures, world, kind) for kind in ("box", "point")]
        return by_picture(pictures, [partial(truth, pictures, world), *answers])
    if name == "detector":
        detector = (model, tokenizer)
        kinds = detection_figures.CAPTIONS
        found = [partial(boxes_found, detector, pictures, world, kind) for kind in kinds]
        return by_picture(pictures, [partial(truth_boxes, pictures, world), *found])
    return named_crops((model, tokenizer), pictures, world) if name == "clip" else None


def main() -> None:
    """Measure and draw every model that is there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the contact sheets go")
    parser.add_argument("--only", choices=TINY_MODELS, help="one model instead of all")
    parser.add_argument("--write", action="store_true", help="put the figures onto the cards")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    logging.disable_progress_bar()
    console = Console()
    for name in track([options.only] if options.only else TINY_MODELS, "measuring", transient=True):
        try:
            model, tokenizer = load(name)
        except MissingError as error:
            console.print(f"tiny {name}: {error}")
            continue
        measured = measure(name, model, tokenizer)
        console.print(figures_table(name, measured))
        if options.write:
            update_figures(weights_path(name), measured)
        for world in DATASETS:
            drawn = sheet(name, model, tokenizer, world)
            if drawn is not None:
                drawn.save(options.folder / f"{name}-{world}.png")


if __name__ == "__main__":
    main()
