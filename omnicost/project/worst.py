"""Pictures of the worst pseudo-masks, found on the images with masks, a file for each weak type."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from omnicost.data import Dataset
from omnicost.engine.graph import by_role
from omnicost.engine.store import Store
from omnicost.files import refuse_to_replace
from omnicost.pipeline.pseudomask import generate as pseudomask
from omnicost.pipeline.quality.mask_examples import examples
from omnicost.plot.masks import MaskExample, compute_masks_info, draw_masks
from omnicost.project.train import Training

WORST: Final = "worst"
SHOWN: Final = 4


def draw_worst(
    folder: Path,
    train: Dataset,
    training: Training,
    store: Store,
    quality: Mapping[str, Mapping[str, Any]],
) -> dict[str, Path]:
    """Draw what went worst for each weak type, by it; pictures of an earlier training are gone.

    Args:
        folder: of the pictures.
        train: the set that was trained on.
        quality: what the calibrate step found.

    Raises:
        InputError: if a picture there is somebody else's.
    """
    drawn = {}
    for annotation, found in quality.items():
        judged = store.manifest(training.plan.outputs[f"calibration.{annotation}"])
        parts = [store.path(key) for key in by_role(judged.inputs, "pseudomask.").values()]
        shown = list(_examples(train, parts, found["worst"][:SHOWN]))
        path = folder / f"{annotation}.png"
        refuse_to_replace(path, force=training.request.force)
        path.unlink(missing_ok=True)
        if shown:
            folder.mkdir(exist_ok=True)
            draw_masks(compute_masks_info(shown), path)
            drawn[annotation] = path
    return drawn


def _examples(
    train: Dataset, parts: Sequence[Path], image_ids: Sequence[int]
) -> Iterator[MaskExample]:
    """In the order of the ids, each from the part that it was drawn in."""
    tables = {part: set(pseudomask.read(part)["image_id"].to_pylist()) for part in parts}
    for image_id in image_ids:
        for part, images in tables.items():
            if image_id in images:
                yield from examples(train, part, image_ids=[image_id])
