"""What a finished training came to, and how it is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, NamedTuple

from omnicost.data.exports.unmasked import Unmasked, unmasked_line
from omnicost.project.score import LEVEL, HeldOutAp

MERGED: Final = "merged.json"
FIGURES: Final = "figures.json"
QUALITY: Final = {"miou": "mean IoU", "f1": "F1 at IoU 0.5"}


class TrainingOutcome(NamedTuple):
    """What was written and measured.

    Args:
        labels: images by annotation type.
        instances: in the merged labels, by where their mask comes from.
        empty: labels that no mask was drawn for.
        quality: of pseudo-masks, by the weak type that they were drawn from: what the calibrate
            step found on the images with masks; nothing where these are too few.
    """

    folder: Path
    labels: dict[str, int]
    instances: dict[str, int]
    empty: tuple[Unmasked, ...]
    held_out: HeldOutAp | None
    quality: dict[str, dict[str, Any]]

    def as_json(self) -> dict[str, Any]:
        """As plain data."""
        held_out = None if self.held_out is None else self.held_out._asdict()
        empty = [each._asdict() for each in self.empty]
        told = {"folder": str(self.folder), "held_out": held_out, "empty": empty}
        return {**self._asdict(), **told}

    def lines(self) -> list[str]:
        """As lines for a terminal."""
        masks = ", ".join(f"{number} {source}" for source, number in self.instances.items())
        lines = [score_line(self.held_out), f"instances by source of their mask: {masks}"]
        lines += [quality_line(*each) for each in self.quality.items()]
        if self.empty:
            lines.append(unmasked_line(self.empty))
        lines.append(f"model: {self.folder} (omnicost predict {self.folder} PHOTOS)")
        return lines


def score_line(held_out: HeldOutAp | None) -> str:
    """AP, its interval and what it was measured on."""
    if held_out is None or held_out.ap is None:
        return "AP: not known, no image with masks was held out (--val names a set)"
    told = f"AP {held_out.ap:.1f}"
    if held_out.low is not None and held_out.high is not None:
        told += f" ({held_out.low:.1f} to {held_out.high:.1f} in {LEVEL:.0%} of such image sets)"
    return f"{told} on {held_out.images} held-out images with {held_out.instances} instances"


def quality_line(annotation: str, found: dict[str, Any]) -> str:
    """How good the pseudo-masks of a weak type are."""
    figures = [f"{name} {spread_text(found[key])}" for key, name in QUALITY.items() if found[key]]
    told = f"{', '.join(figures)} on {found['images']} images with masks"
    return f"pseudo-masks from {annotation}: {told}"


def spread_text(figure: dict[str, float]) -> str:
    """A figure with its interval."""
    return f"{figure['value']:.1f} ({figure['low']:.1f} to {figure['high']:.1f})"
