"""What a training came to, as one self-contained page: no network, no script."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from omnicost.annotation import AnnotationType
from omnicost.campaign.chart import shares
from omnicost.campaign.html import template
from omnicost.engine.execute import package_versions
from omnicost.files import MARK, write_text
from omnicost.project.outcome import TrainingOutcome, spread_text
from omnicost.project.score import LEVEL
from omnicost.project.train import Training

PAGE: Final = "index.html"


def write_page(
    path: Path, training: Training, outcome: TrainingOutcome, pictures: Mapping[str, Path]
) -> None:
    """Write the page.

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
    known = (spread_text(found[key]) if found[key] else "-" for key in ("miou", "f1"))
    return (annotation, str(found["images"]), str(found["instances"]), *known)


def _data_uri(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
