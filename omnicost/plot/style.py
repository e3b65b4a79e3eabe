"""How every picture looks: colours, markers, sizes, and how it is saved."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from omnicost.annotation import AnnotationType
from omnicost.errors import InputError
from omnicost.files import MARK, output_file, refuse_to_replace
from omnicost.plain_text import plain_cell

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

# Okabe and Ito's palette: told apart by readers with any colour vision, and in grey print.
COLOURS: Final[Mapping[AnnotationType, str]] = {
    AnnotationType.NONE: "#8C8C8C",
    AnnotationType.CLASS: "#0072B2",
    AnnotationType.POINT: "#E69F00",
    AnnotationType.SCRIBBLE: "#D55E00",
    AnnotationType.BOX: "#009E73",
    AnnotationType.MASK: "#000000",
}
MARKERS: Final[Mapping[AnnotationType, str]] = {
    AnnotationType.NONE: "o",
    AnnotationType.CLASS: "s",
    AnnotationType.POINT: "^",
    AnnotationType.SCRIBBLE: "v",
    AnnotationType.BOX: "D",
    AnnotationType.MASK: "*",
}
# Names come in any script: matplotlib takes a glyph from the first of these that has it.
_FONTS: Final = (
    "DejaVu Sans", "Noto Sans", "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans CJK KR",
    "Noto Sans Arabic", "Noto Sans Hebrew", "Noto Sans Devanagari", "Noto Sans Bengali",
    "Noto Sans Thai", "WenQuanYi Zen Hei", "Droid Sans Fallback", "Microsoft YaHei",
    "Malgun Gothic", "Yu Gothic", "PingFang SC", "Hiragino Sans", "Apple SD Gothic Neo",
    "Arial Unicode MS",
)  # fmt: skip
# What stands in a picture's file besides it, by its format; no date.
_METADATA: Final[Mapping[str, Mapping[str, str | None]]] = {
    ".png": {"Software": MARK},
    ".svg": {"Creator": MARK, "Date": None},
    ".pdf": {"Creator": MARK, "CreationDate": None},
}
_RC: Final[Mapping[str, Any]] = {
    "font.family": "sans-serif",
    "font.size": 7.5,
    "axes.titlesize": 8.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 7.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.edgecolor": "#444444",
    "axes.axisbelow": True,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "legend.frameon": False,
    "legend.fontsize": 7,
    "lines.linewidth": 1.3,
    "savefig.dpi": 200,
    "text.parse_math": False,  # a dollar sign in a name is one
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    # The same numbers give the same file: no random ids in an SVG.
    "svg.hashsalt": "omnicost",
}


@contextmanager
def styled() -> Iterator[None]:
    """The look of omnicost's pictures."""
    import matplotlib

    with matplotlib.rc_context({**_RC, "font.sans-serif": _fonts()}):
        yield


@cache
def _fonts() -> list[str]:
    """Those of the fonts that this machine has: matplotlib warns of every other."""
    from matplotlib.font_manager import get_font_names

    known = set(get_font_names())
    return [name for name in _FONTS if name in known]


def shortened(text: str, most: int) -> str:
    """A text of at most so many characters, its middle left out."""
    if len(text) <= most:
        return text
    kept = max(most - 1, 2)
    return f"{text[: kept // 2]}…{text[len(text) - (kept - kept // 2) :]}"


def save(figure: Figure, path: Path, numbers: pd.DataFrame | None = None) -> None:
    """Write a picture as PNG, SVG or PDF by the file's ending, without a date inside.

    Args:
        numbers: what it shows, written beside it as CSV.

    Raises:
        InputError: if the ending is none of the three, or the file cannot be written.
    """
    check_format(path)
    form = path.suffix.lower()
    with styled(), output_file(path) as part, warnings.catch_warnings():
        # A glyph that no font here has is drawn as a box; a warning for each would bury the rest.
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        figure.savefig(
            part, format=form[1:], bbox_inches="tight", pad_inches=0.04, metadata=_METADATA[form]
        )
    if numbers is not None:
        save_numbers(numbers, path)


def save_numbers(table: pd.DataFrame, picture: Path) -> Path:
    """Write a picture's numbers beside it as CSV; returns the file."""
    path = picture.with_suffix(".csv")
    texts = table.select_dtypes(exclude="number").columns
    plain = table.assign(**{name: table[name].map(_plain) for name in texts})
    with output_file(path) as part:
        plain.to_csv(part, index=False, float_format="%.6g")
    return path


def _plain(value: Any) -> Any:
    return plain_cell(value) if isinstance(value, str) else value


def check_format(path: Path) -> None:
    """Refuse a file name whose ending is not PNG, SVG or PDF, before any work is done."""
    if path.suffix.lower() not in _METADATA:
        raise InputError(path, f"unknown picture format {path.suffix!r}", "use .png, .svg or .pdf")


def refuse_picture(
    path: Path, head: str, inputs: Iterable[Path | None] = (), force: bool = False
) -> None:
    """Refuse a picture whose ending is unknown, or that or whose numbers replace somebody's file.

    Args:
        path: of the picture; its numbers go beside it as CSV.
        head: how the CSV begins; empty where none is written.
        inputs: what the command reads.
        force: replace all the same.

    Raises:
        InputError: naming the file.
    """
    check_format(path)
    given = list(inputs)
    refuse_to_replace(path, inputs=given, force=force)
    if head:
        refuse_to_replace(path.with_suffix(".csv"), inputs=given, force=force, head=head)


def spread_labels(positions: np.ndarray, gap: float, low: float, high: float) -> np.ndarray:
    """Positions moved as little as it takes to keep labels apart on one axis.

    Args:
        positions: ``(N,)`` wanted positions.
        gap: least distance between neighbours.
        low: lowest allowed position.
        high: highest allowed position.

    Returns:
        ``(N,)`` positions in the order given; neighbours at least ``gap`` apart where
        ``(N - 1) * gap`` fits into the range, evenly spaced over the range where it does not.
    """
    count = len(positions)
    if count < 2:
        return np.clip(positions, low, high)
    gap = min(gap, (high - low) / (count - 1))
    order = np.argsort(positions, kind="stable")
    steps = gap * np.arange(count)
    # Least squares under order constraints: isotonic regression of the positions less the steps.
    from scipy.optimize import isotonic_regression

    shifted = isotonic_regression(np.asarray(positions, float)[order] - steps).x
    placed = np.clip(shifted, low, high - steps[-1]) + steps
    result = np.empty(count)
    result[order] = placed
    return result
