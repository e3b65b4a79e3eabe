"""What a finished training came to, and how it is said: as data, in lines, and as a page."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from omnicost.annotation import AnnotationType
from omnicost.campaign.chart import shares
from omnicost.campaign.html import template
from omnicost.data.exports.unmasked import Unmasked, unmasked_line
from omnicost.engine.execute import package_versions
from omnicost.files import MARK, write_text
from omnicost.project.score import LEVEL, HeldOutAp
from omnicost.project.train import Training

MERGED: Final = "merged.json"
FIGURES: Final = "figures.json"
PAGE: Final = "index.html"
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


def write_page(
    path: Path, training: Training, outcome: TrainingOutcome, pictures: Mapping[str, Path]
) -> None:
    """Write one self-contained page: no network, no script.

    Args:
        path: its file.
        pictures: of the worst pseudo-masks, by weak type.

    Raises:
        InputError: if it cannot be written.
    """
    page = template("model.html.j2", "omnicost.project")
    write_text(path, page.render(**_content(training, outcome, pictures)))


def _content(
    training: Training, outcome: TrainingOutcome, pictures: Mapping[str, Path]
) -> dict[str, Any]:
    images = np.array([outcome.labels.get(each, 0) for each in AnnotationType])
    return {
        "mark": MARK,
        "name": training.request.labelled.absolute().name,
        "labelled": str(training.request.labelled),
        "headlines": list(_headlines(training, outcome)),
        "shares": shares(images),
        "instances": list(outcome.instances.items()),
        "level": f"{LEVEL:.0%}",
        "quality": [_quality_row(*each) for each in outcome.quality.items()],
        "worst": [(annotation, _data_uri(path)) for annotation, path in pictures.items()],
        "without_mask": outcome.empty,
        "card": training.card,
        "settings": list(training.request.settings),
        "versions": package_versions(),
        "is_smoke": training.request.smoke,
    }


def _headlines(training: Training, outcome: TrainingOutcome) -> list[tuple[str, str, str]]:
    """Name, figure and small print of what a reader looks for first."""
    held = outcome.held_out
    images = sum(outcome.labels.values())
    weak = sum(number for source, number in outcome.instances.items() if source != "human")
    found = [
        ("Images", f"{images:,}", f"{outcome.labels.get('mask', 0):,} of them with masks"),
        ("Masks drawn", f"{weak:,}", f"and no mask for {len(outcome.empty):,} labels"),
    ]
    if held is None or held.ap is None:
        return [("AP", "not known", "no image with masks was held out"), *found]
    small = f"on {held.images} held-out images with {held.instances} instances"
    if held.low is not None and held.high is not None:
        small += f"; {held.low:.1f} to {held.high:.1f} in {LEVEL:.0%} of such image sets"
    else:
        small += "; too few for an interval"
    return [("AP", f"{held.ap:.1f}", small), *found]


def _quality_row(annotation: str, found: Mapping[str, Any]) -> tuple[str, ...]:
    known = (spread_text(found[key]) if found[key] else "-" for key in QUALITY)
    return (annotation, str(found["images"]), str(found["instances"]), *known)


def _data_uri(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
