"""One validation, two readers: whoever opens a file stops at its first fault, `check` hears all."""

from __future__ import annotations

import json
from typing import NamedTuple

from omnicost.errors import InputError


class Fault(NamedTuple):
    """One thing that is wrong."""

    name: str  # such as "missing picture"
    item: str  # such as "image 4"
    detail: str


class Faults:
    """Where faults of a file go: the first is raised, or all are kept.

    Args:
        path: names the file in messages.
        collect: keep them in `found`.
    """

    def __init__(self, path: object, collect: bool = False) -> None:
        self.path = path
        self.collect = collect
        self.found: list[Fault] = []

    def add(self, name: str, item: str, where: str, problem: str, remedy: str) -> None:
        """One fault: of an `item`, such as "image 4", which is at `where`, such as images[0].

        Raises:
            InputError: unless faults are collected.
        """
        if not self.collect:
            raise InputError(self.path, f"{where}: {problem}", remedy)
        self.found.append(Fault(name, item, f"{problem}; {remedy}"))

    def note(self, name: str, item: str, detail: str) -> None:
        """Something that a rule of ours settles, worth telling and no reason to stop."""
        if self.collect:
            self.found.append(Fault(name, item, detail))


def shown(value: object) -> str:
    """A value as JSON, cut where it is long."""
    try:
        text = json.dumps(value, default=str)
    except (ValueError, RecursionError):  # thousands of digits, thousands of brackets
        text = "a value of endless length"
    return text if len(text) <= 40 else f"{text[:37]}..."
