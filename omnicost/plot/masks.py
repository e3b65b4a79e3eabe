"""Pictures with their weak labels, prompts and masks side by side: the paper's Figures 6, 7, 8.

One row an image: the weak label, the prompts (box of P-SAM's mask, GroundingDINO's boxes, the box
that prompts the last mask), the pseudo-masks before and after fine-tuning, the ground truth. Each
instance keeps its colour across the row; a mask that is on no instance is grey.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from omnicost.errors import InputError
from omnicost.plot import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Distinct on photographs, and from each other with any colour vision (after Okabe and Ito).
INSTANCE_COLOURS: Final = (
    "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#D55E00", "#CC79A7", "#0072B2", "#9E6CD9",
    "#7FD13B", "#FF8FA3",
)  # fmt: skip
STRAY_COLOUR: Final = "#B0B0B0"
MATCH_IOU: Final = 0.5  # of a mask that belongs to no annotation, with the instance that it is on
SAM_COLOUR, DETECTOR_COLOUR, PROMPT_COLOUR = "#FFB000", "#FF6AD5", "#FFFFFF"
MOST_ROWS: Final = 40
_PANEL_GAP: Final = 0.03  # inches
_NAME_CHARACTER: Final = 0.05  # inches of height that a character of a file name takes
_CLASS_NAME: Final = 18  # characters
_CAPTION_LETTERS: Final = 42  # that fit below a panel
_MOST_NAMES: Final = 15  # instances of an image that are named: the largest


class Drawn(NamedTuple):
    """P masks of one image."""

    annotation_ids: np.ndarray  # (P,) int64, -1 where a mask belongs to no annotation
    class_indices: np.ndarray  # (P,) int64
    masks: np.ndarray  # (P, H, W) bool


class MaskExample(NamedTuple):
    """One image with N instances, and what was labelled, prompted and drawn on it."""

    name: str
    image: np.ndarray  # (H, W, 3) uint8
    annotation: str  # annotation type
    class_names: tuple[str, ...]  # K, by class index
    truth: Drawn
    tags: tuple[str, ...] = ()  # of the type class
    points: np.ndarray | None = None  # (M, k, 2) float32, x y; M labels
    boxes: np.ndarray | None = None  # (M, 4) float32, x0 y0 x1 y1
    label_ids: np.ndarray | None = None  # (M,) annotation that each point or box is for
    sam_boxes: np.ndarray | None = None  # (A, 4)
    detector_boxes: np.ndarray | None = None  # (B, 4)
    prompt_boxes: np.ndarray | None = None  # (C, 4)
    before: Drawn | None = None
    after: Drawn | None = None
    without_mask: tuple[str, ...] = ()  # classes of the labels that no mask was drawn for


class MaskPanel(NamedTuple):
    """P masks as they are drawn."""

    masks: np.ndarray  # (P, H, W) bool
    colours: tuple[str, ...]
    mean_iou: float | None  # over the image's instances, in [0, 1]; None for ground truth itself


class MasksRow(NamedTuple):
    """One row of the picture."""

    example: MaskExample
    colours: dict[int, str]  # annotation id -> colour
    panels: dict[str, MaskPanel]  # before, after, truth


class MasksInfo(NamedTuple):
    """What `draw_masks` draws."""

    rows: tuple[MasksRow, ...]
    columns: tuple[str, ...]


_TITLES: Final = {
    "label": "weak label",
    "prompts": "prompts",
    "before": "before tuning",
    "after": "pseudo-masks",
    "truth": "ground truth",
}


def compute_masks_info(examples: Sequence[MaskExample]) -> MasksInfo:
    """Colours, matches and mean IoUs of some images.

    Raises:
        InputError: if there is no image, or more than a picture can hold.
    """
    if not 0 < len(examples) <= MOST_ROWS:
        raise InputError("`images`", f"{len(examples)} images", f"choose 1 to {MOST_ROWS}")
    rows = tuple(_row(example) for example in examples)
    shown = {"label", "truth", *(name for row in rows for name in row.panels)}
    if any(_has_prompts(example) for example in examples):
        shown.add("prompts")
    return MasksInfo(rows, tuple(name for name in _TITLES if name in shown))


def _has_prompts(example: MaskExample) -> bool:
    groups = (example.sam_boxes, example.detector_boxes, example.prompt_boxes)
    return any(boxes is not None and len(boxes) > 0 for boxes in groups)


def _row(example: MaskExample) -> MasksRow:
    colours = {
        int(name): INSTANCE_COLOURS[place % len(INSTANCE_COLOURS)]
        for place, name in enumerate(example.truth.annotation_ids)
    }
    panels = {
        name: _panel(drawn, example.truth, colours)
        for name, drawn in (("before", example.before), ("after", example.after))
        if drawn is not None
    }
    own = tuple(colours[int(name)] for name in example.truth.annotation_ids)
    panels["truth"] = MaskPanel(example.truth.masks, own, None)
    return MasksRow(example, colours, panels)


def _panel(drawn: Drawn, truth: Drawn, colours: dict[int, str]) -> MaskPanel:
    overlaps = mask_iou(drawn.masks, truth.masks)
    owners = [_owner(drawn, row, overlap, truth) for row, overlap in enumerate(overlaps)]
    best = np.zeros(len(truth.masks))
    for row, owner in enumerate(owners):
        if owner is not None:
            best[owner] = max(best[owner], overlaps[row, owner])
    return MaskPanel(
        drawn.masks,
        tuple(
            STRAY_COLOUR if owner is None else colours[int(truth.annotation_ids[owner])]
            for owner in owners
        ),
        float(best.mean()) if len(best) else None,
    )


def _owner(drawn: Drawn, row: int, overlap: np.ndarray, truth: Drawn) -> int | None:
    """Place of the instance that a mask was drawn for, or else that it is on."""
    name = int(drawn.annotation_ids[row])
    if name >= 0:
        places = np.flatnonzero(truth.annotation_ids == name)
        return int(places[0]) if len(places) else None
    same = np.where(truth.class_indices == drawn.class_indices[row], overlap, 0.0)
    return int(same.argmax()) if same.size and same.max() >= MATCH_IOU else None


def mask_iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """``(P, N)`` IoU of ``(P, H, W)`` and ``(N, H, W)`` masks; 0 for two empty ones."""
    one = first.reshape(len(first), -1).astype(np.float32)
    other = second.reshape(len(second), -1).astype(np.float32)
    overlap = one @ other.T
    union = one.sum(1)[:, None] + other.sum(1) - overlap
    return overlap / np.maximum(union, 1)


def draw_masks(info: MasksInfo, path: Path, width_inches: float = 7.2) -> None:
    """Draw the rows and write the picture.

    Args:
        info: what to draw; see `compute_masks_info`.
        path: picture; its ending is the format.
        width_inches: of the whole picture; the height follows from the images.
    """
    with style.styled():
        figure = _grid(info, width_inches)
        if handles := _legend(info):
            # A dark ground, as on photographs: the prompt's box is white.
            figure.legend(
                handles=handles, loc="lower center", ncols=len(handles), handlelength=1.6,
                frameon=True, facecolor="#555555", edgecolor="none", labelcolor="white",
            )  # fmt: skip
    style.save(figure, path)


def _grid(info: MasksInfo, width_inches: float) -> Figure:
    from matplotlib.figure import Figure

    side = (width_inches - 0.2) / len(info.columns) - _PANEL_GAP
    heights = [side * row.example.image.shape[0] / row.example.image.shape[1] for row in info.rows]
    caption, head, foot = 0.17, 0.22, 0.32
    total = sum(heights) + caption * len(info.rows) + head + foot
    figure = Figure(figsize=(width_inches, total))
    top = total - head
    for number, (row, height) in enumerate(zip(info.rows, heights, strict=True)):
        for place, column in enumerate(info.columns):
            left = 0.2 + place * (side + _PANEL_GAP)
            box = (left / width_inches, (top - height) / total, side / width_inches, height / total)
            axes = figure.add_axes(box)
            _show(axes, row.example)
            _paint(axes, row, column)
            if number == 0:
                axes.set_title(_TITLES[column], pad=4)
            if place == 0:
                name = style.shortened(row.example.name, int(height / _NAME_CHARACTER))
                axes.set_ylabel(name, fontsize=6, color="#444444", labelpad=3)
        top -= height + caption
    return figure


def _show(axes: Axes, example: MaskExample) -> None:
    height, width = example.image.shape[:2]
    # Small pictures keep their pixels; large ones are smoothed down.
    axes.imshow(
        example.image, interpolation="nearest" if max(height, width) < 200 else "antialiased"
    )
    axes.set(xticks=[], yticks=[], xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    axes.spines[:].set_visible(False)


def _paint(axes: Axes, row: MasksRow, column: str) -> None:
    if column == "label":
        _paint_label(axes, row)
    elif column == "prompts":
        _paint_prompts(axes, row.example)
    else:
        _paint_masks(axes, row, column)


def _caption(axes: Axes, text: str) -> None:
    fitting = shorten(text, _CAPTION_LETTERS, placeholder=" ...")
    axes.set_xlabel(fitting, fontsize=6.5, color="#444444", labelpad=2.5)


def _paint_label(axes: Axes, row: MasksRow) -> None:
    example = row.example
    _caption(axes, _label_text(example))
    ids = example.label_ids if example.label_ids is not None else ()
    colours = [row.colours.get(int(name), STRAY_COLOUR) for name in ids]
    if example.points is not None:
        for marks, colour in zip(example.points, colours, strict=True):
            axes.plot(*(marks.T - 0.5), "o-", color=colour, ms=4, mfc=colour, mec="white", mew=0.7)
    if example.boxes is not None:
        for box, colour in zip(example.boxes, colours, strict=True):
            _box(axes, box, colour, "-", 1.3)


def _label_text(example: MaskExample) -> str:
    if example.annotation == "class":
        return "class: " + ", ".join(example.tags)
    return "no label" if example.annotation == "none" else f"{example.annotation} + class"


def _paint_prompts(axes: Axes, example: MaskExample) -> None:
    for boxes, colour, line, width in (
        (example.detector_boxes, DETECTOR_COLOUR, "-", 1.0),
        (example.prompt_boxes, PROMPT_COLOUR, "-", 1.6),
        (example.sam_boxes, SAM_COLOUR, (0, (3, 2)), 1.0),
    ):
        for box in boxes if boxes is not None else ():
            _box(axes, box, colour, line, width)
    if example.points is not None:
        marks = example.points.reshape(-1, 2)
        axes.plot(*(marks.T - 0.5), "o", ms=2.5, mfc="white", mec="black", mew=0.5, ls="")


def _box(axes: Axes, box: np.ndarray, colour: str, line: Any, width: float) -> None:
    from matplotlib.patches import Rectangle

    x0, y0, x1, y1 = box.tolist()  # right and bottom exclusive; pixel centres are whole numbers
    axes.add_patch(
        Rectangle((x0 - 0.5, y0 - 0.5), x1 - x0, y1 - y0, fill=False, ec=colour, ls=line, lw=width)
    )


def _paint_masks(axes: Axes, row: MasksRow, name: str) -> None:
    panel = row.panels.get(name)
    if panel is None:
        _caption(axes, "not given")
        return
    axes.imshow(tinted(panel), interpolation="nearest")
    for mask, colour in zip(panel.masks, panel.colours, strict=True):
        if mask.any() and not mask.all():
            axes.contour(mask, levels=[0.5], colors=[colour], linewidths=0.9)
    if panel.mean_iou is not None:
        _caption(axes, f"mean IoU {panel.mean_iou:.2f}")
    elif name == "truth":
        _name_classes(axes, row)
        count = len(panel.masks)
        _caption(axes, f"{count} instance" + ("" if count == 1 else "s"))


def _name_classes(axes: Axes, row: MasksRow) -> None:
    """The class of the largest instances at the top of their masks, smaller ones over larger."""
    truth, names = row.example.truth, row.example.class_names
    for place in np.argsort(-truth.masks.sum((1, 2)), kind="stable")[:_MOST_NAMES]:
        rows, columns = np.nonzero(truth.masks[place])
        if len(rows):
            top = rows.min()
            axes.text(
                float(columns[rows == top].mean()), float(top),
                style.shortened(names[int(truth.class_indices[place])], _CLASS_NAME),
                fontsize=4.5, color="white", ha="center", va="bottom", clip_on=True,
                bbox={"facecolor": row.panels["truth"].colours[place], "edgecolor": "none",
                      "pad": 0.6, "alpha": 0.85},
                parse_math=False,
            )  # fmt: skip


def tinted(panel: MaskPanel, opacity: float = 0.5) -> np.ndarray:
    """``(H, W, 4) float`` overlay of all masks; where they overlap the smaller one is on top."""
    from matplotlib.colors import to_rgb

    overlay = np.zeros((*panel.masks.shape[1:], 4))
    for place in np.argsort(-panel.masks.sum((1, 2)), kind="stable"):
        overlay[panel.masks[place]] = (*to_rgb(panel.colours[place]), opacity)
    return overlay


def _legend(info: MasksInfo) -> list[Any]:
    from matplotlib.lines import Line2D

    examples = [row.example for row in info.rows]
    known = (
        ("box of P-SAM's mask", SAM_COLOUR, (0, (3, 2)), [e.sam_boxes for e in examples]),
        ("GroundingDINO's boxes", DETECTOR_COLOUR, "-", [e.detector_boxes for e in examples]),
        ("box that prompts SAM", PROMPT_COLOUR, "-", [e.prompt_boxes for e in examples]),
    )
    handles = [
        Line2D([], [], color=colour, ls=line, lw=1.4, label=text)
        for text, colour, line, groups in known
        if any(boxes is not None and len(boxes) for boxes in groups)
    ]
    if any(STRAY_COLOUR in panel.colours for row in info.rows for panel in row.panels.values()):
        handles.append(Line2D([], [], color=STRAY_COLOUR, lw=4, alpha=0.7, label="on no instance"))
    return handles
