"""How good pseudo-masks are, against the ground truth that the teacher never saw.

Every type gives precision, recall and F1 at IoU 0.5, whoever a mask was drawn for: what a student
sees. Types whose labels are of instances (point, box) give the mean IoU per instance too, as the
paper's Table 5. All figures are in percent.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from pycocotools import mask as mask_api

from omnicost.data import Dataset, Instances
from omnicost.data.weak import GIVEN
from omnicost.pipeline.compute import write_figures
from omnicost.pipeline.evaluate import METRICS, SIZES
from omnicost.pipeline.pseudomask import generate as pseudomask
from omnicost.progress import Progress, silent
from omnicost.results import f1_percent

VERSION = 2  # raise when the same parameters give another output
MATCH_IOU: Final = 0.5
_COLUMNS: Final = ["image_id", "annotation_id", "class_index", "score", "source", "rle"]


class Found(NamedTuple):
    """The P pseudo-masks of one image and annotation type, best first."""

    annotation_ids: np.ndarray  # (P,) int64, -1 for a detection
    class_indices: np.ndarray  # (P,) int64
    rles: tuple[dict[str, Any], ...]
    scores: np.ndarray  # (P,) float


NOTHING: Final = Found(np.zeros(0, np.int64), np.zeros(0, np.int64), (), np.zeros(0))


class Tally(NamedTuple):
    """One figure's parts, an entry an instance (or a mask, for precision)."""

    values: np.ndarray  # (N,) float64: IoU, or 1 for a hit and 0 for a miss
    classes: np.ndarray  # (N,) int64
    areas: np.ndarray  # (N,) float64


def run(
    dataset: Dataset,
    strengths: np.ndarray,
    pseudomasks: Sequence[Path],
    *,
    out: Path,
    report: Progress = silent,
) -> None:
    """Compare pseudo-masks with the ground truth and write `metrics.json` into `out`.

    Args:
        dataset: the training split.
        strengths: ``(I,)`` annotation types, as `splits.assign` gives them.
        pseudomasks: artefacts of the pseudo-mask step.
        out: folder to write into.
        report: told of the images done.
    """
    write_figures(out / METRICS, quality(dataset, strengths, pseudomasks, report))


def quality(
    dataset: Dataset, strengths: np.ndarray, pseudomasks: Sequence[Path], report: Progress = silent
) -> dict[str, Any]:
    """Figures of each annotation type that was weakly labelled, by its name.

    Returns:
        ``precision50`` and ``recall50``: class by class, best score first, each instance found
        once; masks on crowds do not count. ``hits`` of the ``masks`` and ``instances``, and their
        ``f1_50``. Where labels are of instances ``mIoU`` as well: the mean over all ground-truth
        instances of those images, 0 where there is no mask. But for F1 each with ``_S``, ``_M``,
        ``_L`` and ``_per_class``; None where there is nothing to measure.
    """
    tables = [Table(dataset, path) for path in pseudomasks]
    figures: dict[str, Any] = {}
    done = 0
    for annotation, given in GIVEN.items():
        images = np.flatnonzero(np.asarray(strengths) == annotation.strength).tolist()
        if not images:
            continue
        tallies = _Tallies()
        for index in images:
            drawn = found_in(tables, index, str(annotation))
            tallies.count(drawn, dataset.instances(index, crowds=True))
            done += 1
            report(done, len(dataset), {})
        own = {"images": len(images), **tallies.detection_figures(dataset)}
        if given.of_instances:
            own |= _summary("mIoU", tallies.ious, dataset)
        figures[str(annotation)] = own
    return figures


def instance_ious(found: Found, truth: Instances) -> np.ndarray:
    """``(N,)`` IoU of each instance with the mask that was drawn for it, 0 without one."""
    place = {int(name): row for row, name in enumerate(found.annotation_ids)}
    ious = np.zeros(len(truth.rles))
    for row, name in enumerate(truth.annotation_ids.tolist()):
        if name in place:
            drawn = found.rles[place[name]]
            ious[row] = mask_api.iou([drawn], [truth.rles[row]], [0])[0, 0]
    return ious


def match_detections(found: Found, truth: Instances) -> tuple[np.ndarray, np.ndarray]:
    """Which masks hit an instance of their class, and which instances were hit.

    Returns:
        ``(P,)`` 1 for a hit, 0 for a miss, -1 for a mask on a crowd; ``(N,)`` bool.
    """
    verdicts = np.zeros(len(found.rles), np.int64)
    hit = np.zeros(len(truth.rles), bool)
    if not found.rles or not truth.rles:
        return verdicts, hit
    crowd = truth.is_crowd
    ious = mask_api.iou(list(found.rles), list(truth.rles), crowd.astype(np.uint8).tolist())
    ious[found.class_indices[:, None] != truth.class_indices] = 0
    for row, overlap in enumerate(ious):
        free = np.where(hit | crowd, 0, overlap)
        if free.max() >= MATCH_IOU:
            verdicts[row] = 1
            hit[free.argmax()] = True
        elif (overlap[crowd] >= MATCH_IOU).any():
            verdicts[row] = -1
    return verdicts, hit


class _Tallies:
    """What is kept of one type's images: numbers, so that masks can go as soon as they count."""

    def __init__(self) -> None:
        self._masks: list[Tally] = []
        self._instances: list[Tally] = []
        self._ious: list[Tally] = []

    def count(self, found: Found, truth: Instances) -> None:
        """Take note of one image."""
        verdicts, hit = match_detections(found, truth)
        counted, real = verdicts >= 0, ~truth.is_crowd
        areas = np.array(mask_api.area(list(found.rles)), float) if found.rles else np.zeros(0)
        of_instances = truth.class_indices[real], truth.areas[real]
        self._masks.append(Tally(verdicts[counted], found.class_indices[counted], areas[counted]))
        self._instances.append(Tally(hit[real], *of_instances))
        self._ious.append(Tally(instance_ious(found, truth)[real], *of_instances))

    @property
    def ious(self) -> Tally:
        """Of every instance with the mask that was drawn for it."""
        return _together(self._ious)

    def detection_figures(self, dataset: Dataset) -> dict[str, Any]:
        """Precision, recall and F1."""
        masks, instances = _together(self._masks), _together(self._instances)
        hits = int(instances.values.sum())
        return {
            "instances": len(instances.values),
            "masks": len(masks.values),
            "hits": hits,
            "f1_50": f1_percent(hits, len(masks.values), len(instances.values)),
            **_summary("precision50", masks, dataset),
            **_summary("recall50", instances, dataset),
        }


def _together(tallies: Sequence[Tally]) -> Tally:
    return Tally(*(np.concatenate(parts) for parts in zip(*tallies, strict=True)))


def _summary(name: str, tally: Tally, dataset: Dataset) -> dict[str, Any]:
    sizes = np.searchsorted(np.array(dataset.size_bounds), tally.areas, side="right")
    return {
        name: _percent(tally.values),
        **{
            f"{name}_{size}": _percent(tally.values[sizes == place])
            for place, size in enumerate(SIZES)
        },
        f"{name}_per_class": {
            class_name: _percent(tally.values[tally.classes == place])
            for place, class_name in enumerate(dataset.class_names)
        },
    }


def _percent(values: np.ndarray) -> float | None:
    return 100.0 * float(values.mean()) if len(values) else None


def found_in(tables: Sequence[Table], index: int, source: str) -> Found:
    """The masks of one image and source, from whichever file has them."""
    found = (table.found(index, source) for table in tables)
    return next((each for each in found if each.rles), NOTHING)


class Table:
    """The pseudo-masks of one file, an image at a time.

    `pseudomask.run` writes image after image, so that each group of rows is read once and few lie
    in memory; rows in another order are found as well.
    """

    def __init__(
        self, dataset: Dataset, path: Path, columns: Sequence[str] | None = _COLUMNS
    ) -> None:
        self._dataset = dataset
        self._columns = columns  # None for all
        self._file = pseudomask.open_table(path)
        ids = self._file.read(["image_id"])["image_id"].to_numpy()
        self._order = np.argsort(ids, kind="stable")
        self._ids = ids[self._order]
        groups = range(self._file.num_row_groups)
        sizes = [self._file.metadata.row_group(n).num_rows for n in groups]
        self._starts = np.cumsum([0, *sizes])
        self._group = lru_cache(2)(self._read_group)

    def found(self, index: int, source: str) -> Found:
        """The masks of one image and source, best first."""
        image_id, size = int(self._dataset.image_ids[index]), self._dataset.sizes[index].tolist()
        rows = [row for row in self.rows(image_id) if row["source"] == source]
        rows.sort(key=lambda row: -float(row["score"]))
        return Found(
            np.array([row["annotation_id"] for row in rows], np.int64),
            np.array([row["class_index"] for row in rows], np.int64),
            tuple({"size": size, "counts": row["rle"]} for row in rows),
            np.array([row["score"] for row in rows], float),
        )

    @property
    def image_ids(self) -> np.ndarray:
        """Those that have a mask, ascending."""
        return np.unique(self._ids)

    def rows(self, image_id: int) -> list[dict[str, Any]]:
        """All of an image, in the order of the file."""
        rows = self._order[slice(*np.searchsorted(self._ids, [image_id, image_id + 1]))]
        found: list[dict[str, Any]] = []
        for group in np.unique(np.searchsorted(self._starts, rows, "right") - 1).tolist():
            own = rows[(rows >= self._starts[group]) & (rows < self._starts[group + 1])]
            found += self._group(group).take(own - self._starts[group]).to_pylist()
        return found

    def _read_group(self, number: int) -> Any:
        return self._file.read_row_group(number, self._columns)
