"""Figures 6, 7 and 8: pseudo-masks before and after tuning, refined prompts, class prompts.

Each is drawn from examples that `analysis.figures.record` kept under `results/tiny`.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from analysis.figures.examples import load_examples
from analysis.recorded import Results, Section
from omnicost.plot.masks import compute_masks_info, draw_masks


class Gallery(NamedTuple):
    """One figure: its number in the paper, its title and what its columns mean."""

    number: int
    title: str
    columns: str


GALLERIES = (
    Gallery(6, "masks before and after tuning SAM", "*before tuning*: SAM as released"),
    Gallery(
        7,
        "prompts from P-SAM and GroundingDINO",
        "*prompts*: the box of P-SAM's mask, GroundingDINO's, and the one that prompts SAM",
    ),
    Gallery(
        8,
        "masks without and with class prompts",
        "*before tuning* stands for the tuned teacher without class prompts here",
    ),
)


def make(gallery: Gallery, results: Results, out: Path) -> Section:
    """The figure, or that its examples have not been recorded."""
    title = f"Figure {gallery.number}: {gallery.title}"
    path = results.folder / "tiny" / f"figure{gallery.number}.npz"
    if not path.exists():
        return Section(title, f"No examples yet ({path.name} of `analysis.figures.record`).")
    name = f"figure{gallery.number}.png"
    draw_masks(compute_masks_info(load_examples(path)), out / name)
    return Section(title, f"{gallery.columns}.\n\n![{gallery.title}]({out.name}/{name})")
