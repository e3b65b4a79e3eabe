"""Timed annotations of a Label Studio JSON export."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from omnicost.calibrate.timings import ReadOptions, Timings, moment
from omnicost.coco import load_json
from omnicost.errors import InputError, short

MOST_SECONDS: Final = 1e9  # decades: no annotation takes them
# https://labelstud.io/guide/export: `type` of one result.
_LABEL_STUDIO_TYPES: Final[Mapping[str, str]] = {
    "choices": "class",
    "taxonomy": "class",
    "keypoint": "point",
    "keypointlabels": "point",
    "rectangle": "box",
    "rectanglelabels": "box",
    "polygon": "mask",
    "polygonlabels": "mask",
    "brush": "mask",
    "brushlabels": "mask",
}
_SCRIBBLED: Final = {**_LABEL_STUDIO_TYPES, "brush": "scribble", "brushlabels": "scribble"}


def read_lead_times(path: Path | str, options: ReadOptions) -> Timings:
    """Every annotation with a `lead_time`; one made from another is rework."""
    tasks = load_json(path)
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        raise InputError(path, "is not a list of tasks", "give a Label Studio JSON export")
    rows: list[_Row] = []
    unused: Counter[str] = Counter()
    for index, task in enumerate(tasks):
        where, kinds = f"{path}: task {task.get('id', index)}", _kinds_of(task)
        if not isinstance(task.get("annotations"), list):
            problem = f"task {task.get('id', index)} has no list of annotations"
            raise InputError(path, problem, "export as JSON, not JSON-MIN")
        for annotation in task["annotations"]:
            row = _export_row(annotation, options, kinds, where)
            if isinstance(row, str):
                unused[row] += 1
            else:
                rows.append(row)
    is_assumed = options.per_row is None and any(row.label == "class" for row in rows)
    note = "each answer counts as one tag; give the classes asked with `per_row`"
    return _timings(rows, unused, (note,) if is_assumed else ())


def _timings(rows: Sequence[_Row], unused: Mapping[str, int], notes: tuple[str, ...]) -> Timings:
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(_Row._fields)
    seconds, counts, labels, annotators, ended, activities = columns
    return Timings(
        np.array(seconds, dtype=np.float64),
        np.array(counts, dtype=np.float64),
        np.array(labels, dtype=object),
        np.array(annotators, dtype=object),
        np.array(ended, dtype=np.float64),
        np.array(activities, dtype=object),
        dict(unused),
        notes,
    )


def _kinds_of(task: Mapping[str, Any]) -> Mapping[str, str]:
    """What each type of result is: a task that asks for scribbles gets them from the brush."""
    data = task.get("data")
    asked = data.get("annotation_type") if isinstance(data, dict) else None
    return _SCRIBBLED if asked == "scribble" else _LABEL_STUDIO_TYPES


class _Row(NamedTuple):
    seconds: float
    annotations: float
    label: str
    annotator: str
    ended: float
    activity: str


def _export_row(
    annotation: Any, options: ReadOptions, kinds: Mapping[str, str], where: str
) -> _Row | str:
    """One annotation, or why it is left out."""
    if not isinstance(annotation, dict) or not isinstance(annotation.get("result"), list):
        raise InputError(where, "an annotation has no list of results", "export as JSON")
    if annotation.get("was_cancelled"):
        return "cancelled"
    seconds = annotation.get("lead_time")
    if seconds is None:
        return "without lead_time"
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if not is_number or not 0 <= seconds <= MOST_SECONDS:
        raise InputError(where, f"lead_time is {short(seconds)}", "use seconds of 0 or more")
    labels = Counter(
        kinds[result["type"]]
        for result in annotation["result"]
        if isinstance(result, dict) and result.get("type") in kinds
    )
    if not labels:
        return "with nothing drawn"
    # A tag beside a shape is the shape's class, not a label of its own.
    drawn = [label for label in labels if label != "class"] or list(labels)
    if len(drawn) > 1:
        return "with several kinds of shape"
    label = options.label or drawn[0]
    count = float(labels[drawn[0]])
    if drawn == ["class"]:
        count = options.per_row or 1.0
    return _Row(
        float(seconds),
        count,
        label,
        _annotator(annotation.get("completed_by")),
        moment(annotation.get("created_at")),
        "label" if annotation.get("parent_annotation") is None else "rework",
    )


def _annotator(value: Any) -> str:
    if isinstance(value, dict):
        value = value.get("email") or value.get("id")
    return "" if value is None else str(value)
