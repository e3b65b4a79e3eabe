"""Timed annotations of delimited text: CSV and the like, with or without a header."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from omnicost.calibrate.timings import ACTIVITIES, LABELS, ReadOptions, Timings, moment
from omnicost.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

_COLUMN_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "seconds": ("seconds", "lead_time", "lead_time_s", "duration", "duration_s", "time_s", "time"),
    "count": ("count", "n", "instances", "n_instances", "n_boxes", "n_masks", "n_points"),
    "annotator": ("annotator", "completed_by", "worker", "user"),
    "type": ("type", "annotation_type", "kind"),
    "ended": ("ended", "ended_at", "created_at", "timestamp"),
    "activity": ("activity", "stage", "step"),
}


def read_timing_table(path: Path | str, options: ReadOptions) -> Timings:
    """A row a timed piece of work; columns by their names, or as the options say."""
    table = _only(_parse_table(path), options.only, path)
    columns = _find_columns(table, options, path)
    labels = _labels(table, columns, options, path)
    seconds = _numbers(table, columns["seconds"], path)
    # What stands where there is no column of it.
    counts = np.full(len(table), options.per_row or 1.0)
    annotators, activities = _repeated("", table), _repeated("label", table)
    ended = np.full(len(table), np.nan)
    if "count" in columns:
        counts = _numbers(table, columns["count"], path)
    if "annotator" in columns:
        annotators = _texts(table[columns["annotator"]]).to_numpy(object)
    if "ended" in columns:
        ended = np.array([moment(value) for value in table[columns["ended"]]], np.float64)
    if "activity" in columns:
        activities = _known_texts(table, columns["activity"], ACTIVITIES, path)
    is_counted = "count" in columns or options.per_row
    notes = () if is_counted else ("each row counts as one annotation",)
    unused = {"without a time": ~np.isfinite(seconds), "with nothing drawn": counts == 0}
    reasons = {why: int(rows.sum()) for why, rows in unused.items() if rows.any()}
    read = Timings(seconds, counts, labels, annotators, ended, activities, reasons, notes)
    return read.select((counts > 0) & np.isfinite(seconds))


def _parse_table(path: Path | str) -> pd.DataFrame:
    import pandas as pd

    try:
        text = Path(path).read_text(encoding="utf-8-sig")
        if "\0" in text:
            raise ValueError("a NUL")
    except ValueError:  # bytes that are no text among them
        raise InputError(path, "is not text", "give CSV or a Label Studio export") from None
    lines = text.splitlines()
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


def _texts(column: pd.Series[Any]) -> pd.Series[Any]:
    """Cells as text: blank ones empty, whole numbers without the decimals that blanks give them."""
    return column.convert_dtypes().astype("string").fillna("").astype(object)


def _only(table: pd.DataFrame, only: tuple[str, str] | None, path: Path | str) -> pd.DataFrame:
    if only is None:
        return table
    column, value = only
    if column not in table:
        raise InputError(path, f"has no column {column!r}", _choices(table))
    texts = _texts(table[column])
    kept = table[texts == value]
    if kept.empty:
        known = ", ".join(sorted(filter(None, texts.unique()))[:8])
        raise InputError(path, f"no row has {column}={value}", f"use one of {known}")
    return kept


def _find_columns(table: pd.DataFrame, options: ReadOptions, path: Path | str) -> dict[str, str]:
    """The columns that there are, by what they hold: as the options name them, or usual ones."""
    by_name = {name.lower(): name for name in table.columns}
    found: dict[str, str] = {}
    for role, names in _COLUMN_NAMES.items():
        given = getattr(options, role)
        if given is not None and given not in table:
            raise InputError(path, f"has no column {given!r}", _choices(table))
        usual = [by_name[name] for name in names if name in by_name]
        if given is not None or usual:
            found[role] = usual[0] if given is None else given
    if "seconds" not in found and table.columns[0] == "0":  # no header: the last number
        numeric = [name for name in table.columns if table[name].dtype.kind in "if"]
        found |= {"seconds": numeric[-1]} if numeric else {}
    if "seconds" not in found:
        remedy = f"name it with `seconds`; {_choices(table)}"
        raise InputError(path, "has no column of seconds that I know", remedy)
    return found


def _choices(table: pd.DataFrame) -> str:
    return f"its columns are {', '.join(map(str, table.columns))}"


def _labels(
    table: pd.DataFrame, columns: Mapping[str, str], options: ReadOptions, path: Path | str
) -> np.ndarray:
    counted = columns.get("count", "").lower()
    implied = {"n_boxes": "box", "n_masks": "mask", "n_points": "point"}.get(counted)
    if options.label or ("type" not in columns and implied):
        return _repeated(options.label or implied, table)
    if "type" not in columns:
        remedy = f"say what was drawn with `label`, one of {', '.join(LABELS)}"
        raise InputError(path, "has no column of annotation types", remedy)
    return _known_texts(table, columns["type"], LABELS, path)


def _repeated(text: str | None, table: pd.DataFrame) -> np.ndarray:
    return np.full(len(table), text, dtype=object)


def _known_texts(
    table: pd.DataFrame, column: str, known: Sequence[str], path: Path | str
) -> np.ndarray:
    """A column of names in lower case, each one of those that are known."""
    values = table[column].astype(str).str.strip().str.lower()
    unknown = values[~values.isin(known)]
    if len(unknown):
        problem = f"{column} is {unknown.iloc[0]!r} in row {unknown.index[0] + 1}"
        raise InputError(path, problem, f"use {', '.join(known)}")
    return values.to_numpy(object)


def _numbers(table: pd.DataFrame, column: str, path: Path | str) -> np.ndarray:
    """A column of numbers of 0 or more, NaN where the cell is empty."""
    values = table[column]
    numbers = np.array([_number(value) for value in values], np.float64)
    wrong = (np.isnan(numbers) & values.notna().to_numpy()) | (numbers < 0) | np.isinf(numbers)
    if wrong.any():
        index = int(np.argmax(wrong))
        problem = f"{column} is {values.iloc[index]!s} in row {index + 1}"
        raise InputError(path, problem, "use a finite number of 0 or more")
    return numbers


def _number(value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return float("nan")
