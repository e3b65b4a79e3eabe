"""Photos on disk, and which of them a name in an export means."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

from omnicost.errors import InputError
from omnicost.labelling.images import PICTURES, picture_names

UPLOAD: Final = re.compile(r"^[0-9a-f]{8}-")  # what Label Studio puts before an upload's name
Key = Callable[[str], str]  # what of a path two spellings of it have in common


class Photos:
    """The pictures of a folder and of the folders in it.

    Raises:
        InputError: if there is none.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise InputError(folder, "no such folder", "name the folder of the photos")
        self.folder = folder
        self.names, _ = picture_names(folder)
        if not self.names:
            raise InputError(folder, "holds no picture", "name the folder of the photos")
        self._by: dict[Key, dict[str, list[str]]] = {}

    def named(self, name: str) -> list[str]:
        """The photos that a name of an export may mean: one, none, or several that it fits alike.

        A path is stripped from the left until something fits, then the ending, then what a tool
        adds or changes. A longer match wins, and of equal ones a photo whose whole path the
        name has, over those in further folders.
        """
        paths = list(dict.fromkeys(_spellings(name)))
        for key in (_same, _without_ending, _as_uploaded):
            index = self._index(key)
            for path in paths:
                for tail in _tails(path):
                    found = index.get(key(tail))
                    if found:
                        whole = [photo for photo in found if key(photo) == key(tail)]
                        return whole or found
        return []

    def _index(self, key: Key) -> dict[str, list[str]]:
        """Every tail of every photo's path to the photos that have it."""
        if key not in self._by:
            index = self._by[key] = defaultdict(list)
            for photo in self.names:
                for tail in _tails(photo):
                    index[key(tail)].append(photo)
        return self._by[key]


def _spellings(name: str) -> Iterator[str]:
    """The file that Label Studio serves from a folder, the name as it is, an address's path."""
    try:
        parts = urlsplit(name)
        yield from parse_qs(parts.query).get("d", [])
    except ValueError:
        parts = None
    yield name.replace("\\", "/")
    if parts is not None:
        path = unquote(parts.path)
        yield path
        yield UPLOAD.sub("", PurePosixPath(path).name)


def _tails(path: str) -> Iterator[str]:
    """`a/b/c.jpg`, `b/c.jpg`, `c.jpg`."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    return ("/".join(parts[n:]) for n in range(len(parts)))


def _same(path: str) -> str:
    return path


def _without_ending(path: str) -> str:
    head, dot, ending = path.rpartition(".")
    return head if dot and f".{ending.lower()}" in PICTURES else path


def _as_uploaded(path: str) -> str:
    """As tools store an upload: no spaces, nothing but letters, digits, dots, dashes."""
    return re.sub(r"[^\w./-]", "", _without_ending(path).replace(" ", "_")).lower()
