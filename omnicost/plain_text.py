"""Text of others where it is shown or written: nothing in it acts."""

from __future__ import annotations

import re
from typing import Final

_CONTROLS: Final = r"\x00-\x1f\x7f-\x9f\ud800-\udfff"  # and halves of surrogate pairs
# Overrides and isolates of direction: what follows them reads in another order than it stands.
_TURNING: Final = r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_HIDDEN: Final = re.compile(rf"(?![\n\t])[{_CONTROLS}{_TURNING}]")
_SHIELDED: Final = ("=", "+", "-", "@", "\t", "'")


def is_plain(text: str) -> bool:
    """Whether text holds neither control characters nor halves of surrogate pairs."""
    return re.search(f"[{_CONTROLS}]", text) is None


def visible(text: str) -> str:
    """Text in which what steers terminals, pages and readers is spelled out; lines stay lines."""
    if _HIDDEN.search(text) is None:
        return text  # itself: a template's markup stays markup
    return _HIDDEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def plain_cell(text: str) -> str:
    """A text that no spreadsheet runs as a formula: an apostrophe before what looks like one.

    Before an apostrophe too, so that what is shielded can be told from what is not.
    """
    text = text.replace("\r", "\\r")  # which the csv module leaves unquoted
    return f"'{text}" if text.startswith(_SHIELDED) else text


def text_of_cell(cell: str) -> str:
    """The text that `plain_cell` wrote, without the apostrophe that shields it."""
    shielded = cell.startswith("'") and cell[1:].startswith(_SHIELDED)
    return cell[1:] if shielded else cell
