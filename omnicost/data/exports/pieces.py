"""Files written item by item, so that memory does not grow with their number."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from omnicost.files import output_file


def write_pieces(path: Path, head: str, items: Iterable[Any], tail: str) -> None:
    """Write a JSON list between a head and a tail, item by item; the file appears whole.

    Raises:
        InputError: if it cannot be written.
    """
    with output_file(path) as part, part.open("w", encoding="utf-8") as file:
        file.write(head)
        for n, item in enumerate(items):
            file.write(",\n" if n else "")
            file.write(json.dumps(item, separators=(",", ":"), allow_nan=False))
        file.write(tail)


def write_texts(path: Path, texts: Iterable[str]) -> None:
    """Write texts one after the other; the file appears whole.

    Raises:
        InputError: if it cannot be written.
    """
    with output_file(path) as part, part.open("w", encoding="utf-8") as file:
        file.writelines(texts)
