"""Text of others where it is shown or written: nothing in it acts."""

from __future__ import annotations

import unicodedata
from typing import Final

# Overrides and isolates of direction: what follows them reads in another order than it stands.
_TURNING: Final = frozenset(
    "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)
_SHIELDED: Final = ("=", "+", "-", "@", "\t", "'")


def is_plain(text: str) -> bool:
    """Whether text holds neither control characters nor halves of surrogate pairs."""
    return text.isprintable() or not any(unicodedata.category(c) in ("Cc", "Cs") for c in text)


def visible(text: str) -> str:
    """Text in which what steers terminals, pages and readers is spelled out; lines stay lines."""
    if text.isprintable() or not any(map(_is_hidden, text)):
        return text
    return "".join(_spelled(c) if _is_hidden(c) else c for c in text)


def _is_hidden(character: str) -> bool:
    if character in "\n\t":
        return False
    return character in _TURNING or unicodedata.category(character) in ("Cc", "Cs")


def _spelled(character: str) -> str:
    return character.encode("unicode_escape").decode()


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
