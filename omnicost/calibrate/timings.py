"""Timed pieces of work, as read from a labelling tool's log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

import numpy as np

LABELS: Final = ("class", "point", "point_further", "scribble", "box", "mask")
"""What rows can time: tags, first (or any) points, further points, scribbles, boxes, masks."""
ACTIVITIES: Final = ("label", "review", "rework", "setup")
"""What the time of a row went into."""
_COLUMNS: Final = ("seconds", "counts", "labels", "annotators", "ended", "activities")


@dataclass(frozen=True, eq=False)
class Timings:
    """T timed pieces of work, each of one or more labels of one name by one annotator.

    Attributes:
        seconds: (T,) float64, of the whole piece.
        counts: (T,) float64, annotations in it.
        labels: (T,) text, of `LABELS`.
        annotators: (T,) text; empty where unknown.
        ended: (T,) float64, seconds since 1970 at which each ended; NaN where unknown.
        activities: (T,) text, of `ACTIVITIES`.
        unused: rows left out, by reason.
        notes: what was assumed in reading.
    """

    seconds: np.ndarray
    counts: np.ndarray
    labels: np.ndarray
    annotators: np.ndarray
    ended: np.ndarray
    activities: np.ndarray
    unused: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.seconds)

    def select(self, kept: np.ndarray) -> Timings:
        """The rows marked in a (T,) bool."""
        return replace(self, **{name: getattr(self, name)[kept] for name in _COLUMNS})

    def in_order(self) -> list[np.ndarray]:
        """Rows of each annotator whose ends are known, in the order in which they ended."""
        known = [
            np.flatnonzero((self.annotators == who) & np.isfinite(self.ended))
            for who in sorted(set(self.annotators))
        ]
        return [own[np.argsort(self.ended[own], kind="stable")] for own in known]


@dataclass(frozen=True)
class ReadOptions:
    """How to read a file where it does not say so itself.

    Attributes:
        label: what all rows time, of `LABELS`.
        seconds, count, annotator, type, ended, activity: column names.
        per_row: annotations in a row where no column counts them.
        only: column and value of the rows to use.
    """

    label: str | None = None
    seconds: str | None = None
    count: str | None = None
    annotator: str | None = None
    type: str | None = None
    ended: str | None = None
    activity: str | None = None
    per_row: float | None = None
    only: tuple[str, str] | None = None


def concatenate(parts: Sequence[Timings]) -> Timings:
    """Several files as one."""
    unused: Counter[str] = Counter()
    for part in parts:
        unused.update(part.unused)
    notes = dict.fromkeys(note for part in parts for note in part.notes)
    columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _COLUMNS}
    return Timings(**columns, unused=dict(unused), notes=tuple(notes))


def moment(text: Any) -> float:
    """Seconds since 1970 of an ISO 8601 time; NaN for anything else."""
    try:
        return datetime.fromisoformat(str(text).strip().replace("Z", "+00:00")).timestamp()
    except (ValueError, OverflowError, OSError):
        return float("nan")
