"""One file of timed annotations, whatever its format."""

from __future__ import annotations

from pathlib import Path

from omnicost.calibrate.export import read_lead_times
from omnicost.calibrate.table import read_timing_table
from omnicost.calibrate.timings import LABELS, ReadOptions, Timings
from omnicost.errors import InputError
from omnicost.files import read_bytes


def read_timings(path: Path | str, options: ReadOptions | None = None) -> Timings:
    """Timed annotations of a Label Studio JSON export or of delimited text.

    Raises:
        InputError: naming file, field, value and remedy.
    """
    options = options or ReadOptions()
    if options.label is not None and options.label not in LABELS:
        raise InputError("`label`", f"unknown type {options.label!r}", f"use {', '.join(LABELS)}")
    timings = (
        read_lead_times(path, options)
        if _looks_like_json(path)
        else read_timing_table(path, options)
    )
    if not len(timings):
        unused = ", ".join(f"{count} {why}" for why, count in timings.unused.items())
        problem = f"holds no usable timing{f' ({unused})' if unused else ''}"
        raise InputError(path, problem, "give timed annotations")
    return timings


def _looks_like_json(path: Path | str) -> bool:
    head = read_bytes(path)[:64].lstrip(b"\xef\xbb\xbf \t\r\n")
    return head[:1] in (b"[", b"{")
