"""Records of one section of a COCO file as columns, checked whole columns at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from omnicost.coco.faults import Faults, shown
from omnicost.plain_text import is_plain

NOUNS: Final = {"images": "image", "annotations": "annotation", "categories": "category"}
MISSING: Final = object()  # a field that a record lacks
_NAN: Final = float("nan")


class Records:
    """N records of a section; a fault names the section, the field and the id.

    A faulty record is marked in `sound`, and its place in a column is filled with zeros.

    Args:
        faults: what happens to faults.
        section: images, annotations or categories.
        records: objects whose fields are read with `get`.
        start: position of the first in the section.
        get: the value of a record's field, or the default that is its third argument.
    """

    def __init__(
        self,
        faults: Faults,
        section: str,
        records: Sequence[Any],
        start: int = 0,
        get: Callable[[Any, str, Any], Any] = dict.get,
    ) -> None:
        self.faults, self.section, self.start, self._get = faults, section, start, get
        self.noun = NOUNS[section]
        self.records = records
        self.sound = np.ones(len(records), bool)
        self._nameable = self.sound.copy()

    def column(self, key: str, default: object = MISSING) -> list[Any]:
        """The values of a field, `default` where it is left out."""
        get = self._get
        return [get(record, key, default) for record in self.records]

    def ids(self) -> np.ndarray:
        """The `id` column: (N,) int64. A record without one is not looked at further."""
        ids = self.integers("id", f"{self.noun} without id")
        self._nameable = self.sound.copy()
        return ids

    def integers(self, key: str, fault: str, default: object = MISSING) -> np.ndarray:
        """A column of whole numbers: (N,) int64."""
        values = self.column(key, default)
        array = as_array(values)
        if array is not None and array.dtype.kind == "i":
            return array.astype(np.int64, copy=False)
        self._refuse_missing(values, key, fault)
        wrong = np.array([v is not MISSING and not is_whole(v) for v in values], bool)
        self.refuse_values(wrong, fault, key, "use a whole number")
        return np.array([int(v) if is_whole(v) else 0 for v in values], np.int64)

    def numbers(self, key: str, fault: str) -> np.ndarray:
        """A column of finite numbers, NaN where the field is left out: (N,) float64."""
        values = [_NAN if value is None else value for value in self.column(key, None)]
        array = as_array(values)
        if array is None:
            wrong = np.array([as_float(value) is None for value in values], bool)
            self.refuse_values(wrong, fault, key, "use a number")
            array = np.array([as_float(value) or 0.0 for value in values])
        array = np.asarray(array, np.float64)
        given = np.array([value is not None for value in self.column(key, None)], bool)
        self.refuse_values(~np.isfinite(array) & given, fault, key, "use a finite number")
        return array

    def texts(self, key: str, fault: str, required: bool = False) -> list[str]:
        """A column of plain text; empty where the field is left out and not required."""
        values = self.column(key) if required else self.column(key, "")
        self._refuse_missing(values, key, fault)
        wrong = [value is not MISSING and not isinstance(value, str) for value in values]
        self.refuse_values(np.array(wrong, bool), fault, key, "use text")
        odd = np.array([isinstance(value, str) and not is_plain(value) for value in values], bool)
        remedy = "leave control characters and halves of surrogate pairs out"
        self.refuse_values(odd, fault, key, remedy)
        if required:
            empty = np.array([isinstance(value, str) and not value.strip() for value in values])
            self.refuse_values(empty.astype(bool), fault, key, "give it a name")
        return [value if isinstance(value, str) else "" for value in values]

    def boxes(self, key: str, fault: str, length: int, remedy: str) -> np.ndarray:
        """A column of lists of so many finite numbers, NaN where left out: (N, length) float64."""
        values = self.column(key, None)
        absent = np.array([value is None for value in values], bool)
        if absent.all():
            return np.full((len(values), length), _NAN)
        none = [_NAN] * length
        lists = [isinstance(value, list) and len(value) == length for value in values]
        wrong = ~np.array(lists, bool) & ~absent
        self.refuse_values(wrong, fault, key, remedy)
        sound = [value if ok else none for value, ok in zip(values, lists, strict=True)]
        array = as_array([number for value in sound for number in value])
        if array is None:
            bad = [any(as_float(number) is None for number in value) for value in sound]
            self.refuse_values(np.array(bad, bool), fault, key, remedy)
            array = np.array([as_float(n) or 0.0 for value in sound for n in value])
        boxes = np.asarray(array, np.float64).reshape(-1, length)
        infinite = ~np.isfinite(boxes).all(axis=1) & ~absent & ~wrong
        self.refuse_values(infinite, fault, key, remedy)
        return boxes

    def refuse_values(self, wrong: np.ndarray, fault: str, key: str, remedy: str) -> None:
        """Refuse records for the value of a field, or of two joined by `and`."""

        def problem(index: int) -> str:
            values = [self._get(self.records[index], part, None) for part in key.split(" and ")]
            return f"{key} is {' and '.join(map(shown, values))}"

        self.refuse(wrong, fault, problem, remedy)

    def refuse(
        self, wrong: np.ndarray, fault: str, problem: Callable[[int], str], remedy: str
    ) -> None:
        """Report the records marked wrong, naming each by its id, and mark them as not sound."""
        if not wrong.any():
            return
        for index in np.flatnonzero(wrong & self._nameable).tolist():
            place = f"{self.section}[{self.start + index}]"
            identity = self._get(self.records[index], "id", None)
            where = place if identity in (None, MISSING) else f"{place} (id {shown(identity)})"
            item = f"{self.noun} {int(identity)}" if is_whole(identity) else place
            self.faults.add(fault, item, where, problem(index), remedy)
        self.sound &= ~wrong

    def _refuse_missing(self, values: list[Any], key: str, fault: str) -> None:
        missing = np.array([value is MISSING for value in values], bool)
        self.refuse(missing, fault, lambda index: f"has no {key}", "add it")


def as_array(values: list[Any]) -> np.ndarray | None:
    """The values as an array of ints or floats; None if any is neither or too large."""
    if not values:
        return np.empty(0, np.int64)
    if any(fault not in (int, float) for fault in set(map(type, values))):
        return None
    try:
        array = np.array(values)
    except OverflowError:
        return None
    return array if array.dtype.kind in "if" else None


def as_float(value: object) -> float | None:
    """A number as a float, infinite where it is too large; None for anything else."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        return float(value)
    except OverflowError:
        return float("inf")


def is_whole(value: object) -> bool:
    """Whole numbers that fit 64 bits; pandas writes ids as 7.0, some tools crowds as true."""
    if isinstance(value, float):
        return value.is_integer() and abs(value) < 2**53
    return isinstance(value, int) and abs(value) < 2**63
