"""Timed annotations from a Label Studio export or from delimited text."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from omnicost.coco import load_json
from omnicost.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

KINDS: Final = ("class", "point", "point_further", "box", "mask")
"""What rows can time: tags, first (or any) points, further points, boxes, masks."""

# https://labelstud.io/guide/export: `type` of one result.
_LABEL_STUDIO_KINDS: Final[Mapping[str, str]] = {
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
_COLUMN_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "seconds": ("seconds", "lead_time", "lead_time_s", "duration", "duration_s", "time_s", "time"),
    "count": ("count", "n", "instances", "n_instances", "n_boxes", "n_masks", "n_points"),
    "annotator": ("annotator", "completed_by", "worker", "user"),
    "type": ("type", "annotation_type", "kind"),
}


@dataclass(frozen=True, eq=False)
class Timings:
    """T timed pieces of work, each of one or more annotations of one kind by one annotator.

    Attributes:
        seconds: (T,) float64, of the whole piece.
        counts: (T,) float64, annotations in it.
        kinds: (T,) text, of `KINDS`.
        annotators: (T,) text; empty where unknown.
        unused: rows left out, by reason.
        notes: what was assumed in reading.
    """

    seconds: np.ndarray
    counts: np.ndarray
    kinds: np.ndarray
    annotators: np.ndarray
    unused: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.seconds)

    def select(self, kept: np.ndarray) -> Timings:
        """The rows marked in a (T,) bool."""
        return replace(
            self,
            seconds=self.seconds[kept],
            counts=self.counts[kept],
            kinds=self.kinds[kept],
            annotators=self.annotators[kept],
        )


@dataclass(frozen=True)
class ReadOptions:
    """How to read a file where it does not say so itself.

    Attributes:
        kind: what all rows time, of `KINDS`.
        seconds, count, annotator, type: column names.
        per_row: annotations in a row where no column counts them.
        only: column and value of the rows to use.
    """

    kind: str | None = None
    seconds: str | None = None
    count: str | None = None
    annotator: str | None = None
    type: str | None = None
    per_row: float | None = None
    only: tuple[str, str] | None = None


def concatenate(parts: Sequence[Timings]) -> Timings:
    """Several files as one."""
    unused: Counter[str] = Counter()
    for part in parts:
        unused.update(part.unused)
    notes = dict.fromkeys(note for part in parts for note in part.notes)
    return Timings(
        seconds=np.concatenate([part.seconds for part in parts]),
        counts=np.concatenate([part.counts for part in parts]),
        kinds=np.concatenate([part.kinds for part in parts]),
        annotators=np.concatenate([part.annotators for part in parts]),
        unused=dict(unused),
        notes=tuple(notes),
    )


def read_timings(path: Path | str, options: ReadOptions | None = None) -> Timings:
    """Timed annotations of a Label Studio JSON export or of delimited text.

    Raises:
        InputError: naming file, field, value and remedy.
    """
    options = options or ReadOptions()
    if options.kind is not None and options.kind not in KINDS:
        raise InputError("--type", f"unknown type {options.kind!r}", f"use {', '.join(KINDS)}")
    timings = _read_export(path, options) if _looks_like_json(path) else _read_text(path, options)
    if not len(timings):
        unused = ", ".join(f"{count} {why}" for why, count in timings.unused.items())
        problem = f"holds no usable timing{f' ({unused})' if unused else ''}"
        raise InputError(path, problem, "give timed annotations")
    return timings


def _looks_like_json(path: Path | str) -> bool:
    try:
        with open(path, "rb") as file:
            head = file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n")
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror})", "check the path") from None
    return head[:1] in (b"[", b"{")


def _read_export(path: Path | str, options: ReadOptions) -> Timings:
    tasks = load_json(path)
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        raise InputError(path, "is not a list of tasks", "give a Label Studio JSON export")
    rows: list[tuple[float, float, str, str]] = []
    unused: Counter[str] = Counter()
    notes: dict[str, None] = {}
    for index, task in enumerate(tasks):
        if not isinstance(task.get("annotations"), list):
            problem = f"task {task.get('id', index)} has no list of annotations"
            raise InputError(path, problem, "export as JSON, not JSON-MIN")
        for annotation in task["annotations"]:
            row = _export_row(annotation, options, f"{path}: task {task.get('id', index)}")
            if isinstance(row, str):
                unused[row] += 1
                continue
            rows.append(row)
            if row[2] == "class" and options.per_row is None:
                notes["each answer counts as one tag; give the classes asked with --per-row"] = None
    return _timings(rows, unused, notes)


def _export_row(
    annotation: Any, options: ReadOptions, where: str
) -> tuple[float, float, str, str] | str:
    """Seconds, count, kind and annotator of one annotation, or why it is left out."""
    if not isinstance(annotation, dict) or not isinstance(annotation.get("result"), list):
        raise InputError(where, "an annotation has no list of results", "export as JSON")
    if annotation.get("was_cancelled"):
        return "cancelled"
    seconds = annotation.get("lead_time")
    if seconds is None:
        return "without lead_time"
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds >= 0:
        raise InputError(where, f"lead_time is {seconds!r}", "use seconds of 0 or more")
    kinds = Counter(
        _LABEL_STUDIO_KINDS[result["type"]]
        for result in annotation["result"]
        if isinstance(result, dict) and result.get("type") in _LABEL_STUDIO_KINDS
    )
    if not kinds:
        return "with nothing drawn"
    # A tag beside a shape is the shape's class, not a label of its own.
    drawn = [kind for kind in kinds if kind != "class"] or list(kinds)
    if len(drawn) > 1:
        return "with several kinds of shape"
    kind = options.kind or drawn[0]
    count = float(kinds[drawn[0]])
    if drawn == ["class"]:
        count = options.per_row or 1.0
    return float(seconds), count, kind, _annotator(annotation.get("completed_by"))


def _annotator(value: Any) -> str:
    if isinstance(value, dict):
        value = value.get("email") or value.get("id")
    return "" if value is None else str(value)


def _timings(
    rows: Sequence[tuple[float, float, str, str]],
    unused: Mapping[str, int],
    notes: Iterable[str],
) -> Timings:
    seconds, counts, kinds, annotators = zip(*rows, strict=True) if rows else ((), (), (), ())
    return Timings(
        np.array(seconds, dtype=np.float64),
        np.array(counts, dtype=np.float64),
        np.array(kinds, dtype=object),
        np.array(annotators, dtype=object),
        dict(unused),
        tuple(notes),
    )


def _read_text(path: Path | str, options: ReadOptions) -> Timings:
    table = _only(_read_table(path), options.only, path)
    columns = _find_columns(table, options, path)
    kinds = _kinds(table, columns, options, path)
    seconds = _numbers(table, columns["seconds"], path)
    counts = _numbers(table, columns["count"], path) if columns["count"] else _ones(table, options)
    annotators = table[columns["annotator"]].astype(str) if columns["annotator"] else None
    named = np.array([""] * len(table) if annotators is None else list(annotators), dtype=object)
    notes = [] if columns["count"] or options.per_row else ["each row counts as one annotation"]
    used = (counts > 0) & np.isfinite(seconds)
    unused = {"without a time": ~np.isfinite(seconds), "with nothing drawn": counts == 0}
    reasons = {why: int(rows.sum()) for why, rows in unused.items() if rows.any()}
    return Timings(seconds, counts, kinds, named, reasons, tuple(notes)).select(used)


def _read_table(path: Path | str) -> pd.DataFrame:
    import pandas as pd

    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise InputError(path, "is not text", "give CSV or a Label Studio export") from None
    first = next((line for line in lines if line.strip()), None)
    if first is None:
        raise InputError(path, "is empty", "give timed annotations")
    separator = next((mark for mark in ",;\t" if mark in first), r"\s+")
    fields = [part.strip() for part in re.split(separator, first.strip())]
    header = None if any(_is_number(part) for part in fields) else 0
    try:
        table = pd.read_csv(path, sep=separator, header=header, encoding="utf-8-sig")
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        problem = f"is not a table ({' '.join(str(error).split())})"
        raise InputError(path, problem, "give one row a timed annotation") from None
    table.columns = [str(name).strip() for name in table.columns]
    return table


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _only(table: pd.DataFrame, only: tuple[str, str] | None, path: Path | str) -> pd.DataFrame:
    if only is None:
        return table
    column, value = only
    if column not in table:
        raise InputError(path, f"has no column {column!r}", _choices(table))
    kept = table[table[column].astype(str) == value]
    if kept.empty:
        known = ", ".join(sorted(table[column].astype(str).unique())[:8])
        raise InputError(path, f"no row has {column}={value}", f"use one of {known}")
    return kept


def _find_columns(
    table: pd.DataFrame, options: ReadOptions, path: Path | str
) -> dict[str, str | None]:
    found = {
        role: _find_column(table, role, getattr(options, role), path) for role in _COLUMN_NAMES
    }
    if found["seconds"] is None and table.columns[0] == "0":  # no header: the last number
        numeric = [name for name in table.columns if table[name].dtype.kind in "if"]
        found["seconds"] = numeric[-1] if numeric else None
    if found["seconds"] is None:
        remedy = f"name it with --seconds-column; {_choices(table)}"
        raise InputError(path, "has no column of seconds that I know", remedy)
    return found


def _find_column(table: pd.DataFrame, role: str, given: str | None, path: Path | str) -> str | None:
    if given is not None:
        if given not in table:
            raise InputError(path, f"has no column {given!r}", _choices(table))
        return given
    by_name = {name.lower(): name for name in table.columns}
    return next((by_name[name] for name in _COLUMN_NAMES[role] if name in by_name), None)


def _choices(table: pd.DataFrame) -> str:
    return f"its columns are {', '.join(map(str, table.columns))}"


def _kinds(
    table: pd.DataFrame,
    columns: Mapping[str, str | None],
    options: ReadOptions,
    path: Path | str,
) -> np.ndarray:
    counted = (columns["count"] or "").lower()
    implied = {"n_boxes": "box", "n_masks": "mask", "n_points": "point"}.get(counted)
    if options.kind or (columns["type"] is None and implied):
        return np.array([options.kind or implied] * len(table), dtype=object)
    if columns["type"] is None:
        remedy = f"say what was drawn with --type, one of {', '.join(KINDS)}"
        raise InputError(path, "has no column of annotation types", remedy)
    kinds = table[columns["type"]].astype(str).str.strip().str.lower()
    unknown = kinds[~kinds.isin(KINDS)]
    if len(unknown):
        problem = f"{columns['type']} is {unknown.iloc[0]!r} in row {unknown.index[0] + 1}"
        raise InputError(path, problem, f"use {', '.join(KINDS)}")
    return np.array(list(kinds), dtype=object)


def _numbers(table: pd.DataFrame, column: str | None, path: Path | str) -> np.ndarray:
    """A column of numbers of 0 or more, NaN where the cell is empty."""
    import pandas as pd

    values = table[str(column)]
    numbers = pd.to_numeric(values, errors="coerce").to_numpy(dtype=np.float64)
    wrong = (np.isnan(numbers) & values.notna().to_numpy()) | (numbers < 0) | np.isinf(numbers)
    if wrong.any():
        index = int(np.argmax(wrong))
        problem = f"{column} is {values.iloc[index]!s} in row {index + 1}"
        raise InputError(path, problem, "use a finite number of 0 or more")
    return numbers


def _ones(table: pd.DataFrame, options: ReadOptions) -> np.ndarray:
    return np.full(len(table), options.per_row or 1.0)
