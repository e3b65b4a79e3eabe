"""How long work says how far it is: one callback for reading, drawing, training, writing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

Progress = Callable[[int, int, dict[str, Any]], None]
"""Told of units done, units in all, and figures by name (a loss, a rate), often none."""


def silent(done: int, total: int, figures: dict[str, Any]) -> None:
    """Progress that nobody sees."""


Item = TypeVar("Item")
_waited = [0.0]  # seconds, of this process


def fed(items: Iterable[Item]) -> Iterator[Item]:
    """The items as they come; how long they keep the caller waiting goes on the process's clock."""
    source = iter(items)
    while True:
        started = time.perf_counter()
        try:
            item = next(source)
        except StopIteration:
            return
        finally:
            add_waited(time.perf_counter() - started)
        yield item


def add_waited(seconds: float) -> None:
    """Put time on the clock that another process spent waiting for this one's work."""
    _waited[0] += seconds


def waited_seconds() -> float:
    """How long this process has waited for its data so far."""
    return _waited[0]
