"""Step "calibrate": how good pseudo-masks of one weak type are, by the images that have masks.

Each part of these images is labelled weakly, as the others are, and drawn by teachers that were
tuned without it. So no mask judges a teacher that has seen it. A tuned teacher has more masks than
these have: what is measured here is a little too low.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from pycocotools import mask as mask_api

from omnicost.annotation import AnnotationType
from omnicost.data import Dataset, Instances
from omnicost.data.seeding import generator
from omnicost.data.weak import GIVEN
from omnicost.pipeline.compute import write_figures
from omnicost.pipeline.quality.calibration import CALIBRATION, fit
from omnicost.pipeline.quality.mask_quality import (
    Found,
    Table,
    found_in,
    instance_ious,
    match_detections,
)
from omnicost.progress import Progress, silent

VERSION = 2  # raise when the same parameters give another output
FOLDS: Final = 2
LEAST_IMAGES: Final = 4  # with masks, or no part is large enough to say anything
DRAWS: Final = 400
LEVEL: Final = 0.8


class Checked(NamedTuple):
    """One image with masks, and what was drawn on it without them.

    Args:
        ious: of each instance with its mask, where labels are of instances; else empty.
        scores: of each mask drawn.
        expected: ``(P,)`` IoU of each mask with its instance, or with the best of its class.
    """

    image_id: int
    instances: int
    masks: int
    hits: int
    ious: np.ndarray
    scores: np.ndarray
    expected: np.ndarray

    @property
    def miss(self) -> float:
        """What is wrong with it, in instances: for the worst first."""
        if len(self.ious):
            return float((1 - self.ious).sum())
        return float(self.instances + self.masks - 2 * self.hits)


def fold_of(masked: Sequence[int], fold: int, seed: int) -> list[int]:
    """The images of one part, ascending: the same whatever they are labelled with."""
    order = generator("crossfit", seed).permutation(len(masked))
    return sorted(int(masked[place]) for place in order[fold::FOLDS].tolist())


def run(
    dataset: Dataset,
    annotation: AnnotationType,
    masked: Sequence[int],
    pseudomasks: Sequence[Path],
    *,
    out: Path,
    report: Progress = silent,
) -> None:
    """Write `calibration.json`: figures with their intervals, the calibration, the worst images.

    Args:
        dataset: the training split.
        annotation: the weak type.
        masked: indices of the images with masks.
        pseudomasks: artefacts of the pseudo-mask step, one a part.
        out: folder to write into.
        report: told of the images done.
    """
    checked = list(_checked(dataset, annotation, masked, pseudomasks, report))
    write_figures(out / CALIBRATION, {"annotation": str(annotation), **figures(checked)})


def figures(checked: Sequence[Checked]) -> dict[str, Any]:
    """What the images say together; percent, each figure with an interval over such images."""
    scores, expected = (
        np.concatenate([np.zeros(0), *(getattr(each, name) for each in checked)])
        for name in ("scores", "expected")
    )
    worst = sorted(checked, key=lambda each: (-each.miss, each.image_id))
    return {
        "images": len(checked),
        "instances": sum(each.instances for each in checked),
        "masks": sum(each.masks for each in checked),
        "f1": _interval([(2 * each.hits, each.masks + each.instances) for each in checked]),
        "miou": _interval([(each.ious.sum(), len(each.ious)) for each in checked]),
        "pairs": len(scores),
        "calibration": fit(scores, expected),
        "worst": [each.image_id for each in worst if each.miss > 0 and each.masks],
    }


def _interval(ratios: Sequence[tuple[float, float]]) -> dict[str, float] | None:
    """The ratio of the images' sums, in percent, and its 80% bootstrap interval over them."""
    parts = np.array(ratios, float).reshape(-1, 2)
    top, bottom = parts.sum(axis=0)
    if not bottom:
        return None
    rng = generator("crossfit interval", len(parts))
    drawn = [parts[rng.integers(len(parts), size=len(parts))].sum(0) for _ in range(DRAWS)]
    values = [100 * over / under for over, under in drawn if under]
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]).tolist()
    return {"value": 100 * top / bottom, "low": low, "high": high}


def _checked(
    dataset: Dataset,
    annotation: AnnotationType,
    masked: Sequence[int],
    pseudomasks: Sequence[Path],
    report: Progress,
) -> Iterator[Checked]:
    tables = [Table(dataset, path) for path in pseudomasks]
    for done, index in enumerate(masked, start=1):
        drawn = found_in(tables, index, str(annotation))
        yield _checked_image(dataset, index, drawn, GIVEN[annotation].of_instances)
        report(done, len(masked), {})


def _checked_image(dataset: Dataset, index: int, drawn: Found, of_instances: bool) -> Checked:
    """Masks on crowds do not count."""
    truth = dataset.instances(index, crowds=True)
    verdicts, hit = match_detections(drawn, truth)
    real, counted = ~truth.is_crowd, verdicts >= 0
    return Checked(
        int(dataset.image_ids[index]),
        int(real.sum()),
        int(counted.sum()),
        int(hit.sum()),
        instance_ious(drawn, truth)[real] if of_instances else np.zeros(0),
        drawn.scores[counted],
        expected_ious(drawn, dataset.instances(index))[counted],
    )


def expected_ious(found: Found, truth: Instances) -> np.ndarray:
    """``(P,)`` IoU of each mask with its instance; without one, with the best of its class."""
    if not found.rles or not truth.rles:
        return np.zeros(len(found.rles))
    ious = np.asarray(mask_api.iou(list(found.rles), list(truth.rles), [0] * len(truth.rles)))
    named = found.annotation_ids[:, None] == truth.annotation_ids
    alike = found.class_indices[:, None] == truth.class_indices
    is_named = (found.annotation_ids >= 0)[:, None]
    best: np.ndarray = np.where(np.where(is_named, named, alike), ious, 0.0).max(axis=1)
    return best
