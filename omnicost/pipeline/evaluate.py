"""Step "evaluate": AP of a student, on COCO's terms.

hotcoco takes a data set's own area bounds as they are (`Params.area_rng`, in the order all, small,
medium, large); it then calls its figures an extension of the benchmark, which is so, and warns.
As in pycocotools an instance counts towards a size by the area in its annotation, and a detection
that matches none by the area of its mask.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from omnicost.data import Dataset, SizeBounds
from omnicost.models.students.student import LazyPrediction, Prediction, load
from omnicost.pipeline.compute import ahead, behind, workers_of, write_figures
from omnicost.progress import Progress

VERSION = 1  # raise when the same parameters give another output
METRICS = "metrics.json"
LARGEST_AREA = 1e10  # as pycocotools
IOUS = (0.5, 0.75)
SIZES = ("S", "M", "L")
IMAGES_AT_ONCE, PIXELS_AT_ONCE = 32, 1 << 24  # pictures that are read together: 50 MB
MOST_DETECTIONS = (1, 10, 100)  # an image, as COCO
ENCODERS = 1  # threads that encode masks: one is faster than any device that draws them


def run(dataset: Dataset, student: Path, *, out: Path, device: str, report: Progress) -> None:
    """Score a trained student on a split and write `metrics.json` into `out`.

    Args:
        dataset: the validation split.
        student: file that the student step wrote.
        out: folder to write into.
        device: such as ``cpu``.
        report: told of the images done.
    """
    found = predict(dataset, student, device, report)
    write_figures(out / METRICS, coco_metrics(dataset, found))


def predict(
    dataset: Dataset, student: Path, device: str, report: Progress
) -> Iterator[tuple[int, Prediction]]:
    """A trained student's prediction for each image of a data set, in order.

    Pictures are decoded, and masks encoded, in threads while others are predicted, here; how many
    wait is bounded by their pixels.
    """
    model = load(student, device)
    groups = list(_groups_of_pixels(dataset))
    # A picture beyond the limit is read when the one before it is gone.
    are_small = all(_pixels(dataset, group) <= PIXELS_AT_ONCE for group in groups)
    workers = workers_of(None) if are_small else 0

    def read(indices: list[int]) -> list[np.ndarray]:
        return [dataset.image(index) for index in indices]

    def drawn() -> Iterator[tuple[int, LazyPrediction]]:
        for indices, pictures in zip(groups, ahead(read, groups, workers), strict=True):
            yield from zip(indices, model.draw(pictures), strict=True)

    def finished(one: tuple[int, LazyPrediction]) -> tuple[int, Prediction]:
        return one[0], one[1]()

    for index, prediction in behind(finished, drawn(), min(workers, ENCODERS)):
        yield index, prediction
        report(index + 1, len(dataset), {})


def _groups_of_pixels(dataset: Dataset) -> Iterator[list[int]]:
    """Neighbouring images, as many as are read at once."""
    group: list[int] = []
    for index in range(len(dataset)):
        is_full = len(group) == IMAGES_AT_ONCE
        if group and (is_full or _pixels(dataset, [*group, index]) > PIXELS_AT_ONCE):
            yield group
            group = []
        group.append(index)
    if group:
        yield group


def _pixels(dataset: Dataset, indices: list[int]) -> int:
    return int(dataset.sizes[indices].astype(np.int64).prod(1).sum())


def coco_metrics(dataset: Dataset, predictions: Iterable[tuple[int, Prediction]]) -> dict[str, Any]:
    """AP and its kin in percent, None where there is nothing to measure.

    Args:
        dataset: ground truth; crowds absorb detections, as COCO has it.
        predictions: (index of the image, prediction); images that are left out count as empty.

    Returns:
        ``AP``, ``AP50``, ``AP75``, ``AP_S``, ``AP_M``, ``AP_L``, ``AR1``, ``AR10``, ``AR100``,
        ``per_class`` (AP by class name), ``images`` and ``instances``.
    """
    from hotcoco import Params, StreamingEval

    params = Params("segm")
    params.area_rng = area_ranges(dataset.size_bounds)
    params.max_dets = list(MOST_DETECTIONS)
    categories = [{"id": i, "name": name} for i, name in enumerate(dataset.class_names, start=1)]
    stream = StreamingEval(categories, iou_type="segm", params=params)
    left = np.ones(len(dataset), bool)
    for index, prediction in predictions:
        left[index] = False
        stream.update(*_annotations(dataset, index, prediction))
    for index in np.flatnonzero(left).tolist():
        nothing = Prediction((), np.zeros(0, np.int64), np.zeros(0, np.float32))
        stream.update(*_annotations(dataset, index, nothing))
    return _figures(stream.finalize(), dataset)


def area_ranges(bounds: SizeBounds) -> list[list[float]]:
    """COCO's ranges of area, in its order: all, small, medium, large."""
    small, medium = bounds
    return [[0, LARGEST_AREA], [0, small], [small, medium], [medium, LARGEST_AREA]]


def _figures(evaluation: Any, dataset: Dataset) -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="hotcoco: area range bounds differ")
        evaluation.accumulate()
    # IoU thresholds x recall x classes x areas x detections; -1 where there is nothing.
    precision = np.asarray(evaluation.eval["precision"])
    recall = np.asarray(evaluation.eval["recall"])  # the same without recall
    thresholds = np.round(evaluation.params.iou_thrs, 4).tolist()
    return {
        "AP": _mean_percent(precision[:, :, :, 0, -1]),
        **{
            f"AP{iou * 100:.0f}": _mean_percent(precision[thresholds.index(iou), :, :, 0, -1])
            for iou in IOUS
        },
        **{
            f"AP_{size}": _mean_percent(precision[:, :, :, place, -1])
            for place, size in enumerate(SIZES, start=1)
        },
        **{
            f"AR{most}": _mean_percent(recall[:, :, 0, place])
            for place, most in enumerate(MOST_DETECTIONS)
        },
        "per_class": {
            name: _mean_percent(precision[:, :, place, 0, -1])
            for place, name in enumerate(dataset.class_names)
        },
        "images": len(dataset),
        "instances": int((~dataset.columns.is_crowd).sum()),
    }


def _mean_percent(values: np.ndarray) -> float | None:
    known = values[values >= 0]
    return 100.0 * float(known.mean()) if known.size else None


def _annotations(
    dataset: Dataset, index: int, prediction: Prediction
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]:
    """The image, its ground truth and its detections in COCO's form."""
    image_id = int(dataset.image_ids[index])
    height, width = dataset.sizes[index].tolist()
    truth = dataset.instances(index, crowds=True)
    annotations = [
        {
            "id": int(truth.annotation_ids[place]),
            "image_id": image_id,
            "category_id": int(truth.class_indices[place]) + 1,
            "segmentation": rle,
            "area": float(truth.areas[place]),
            "bbox": [0.0, 0.0, 0.0, 0.0],  # not read when masks are compared
            "iscrowd": int(truth.is_crowd[place]),
        }
        for place, rle in enumerate(truth.rles)
    ]
    detections = [
        {
            "image_id": image_id,
            "category_id": int(kind) + 1,
            "segmentation": rle,
            "score": float(score),
        }
        for rle, kind, score in zip(*prediction, strict=True)
    ]
    return [{"id": image_id, "height": height, "width": width}], annotations, detections
