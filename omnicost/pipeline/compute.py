"""What the steps share: progress reports, numeric precision, decoding ahead, whole-file writes."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import torch

from omnicost.pipeline.config import Precision

Report = Callable[[int, int, dict[str, Any]], None]  # done, total, figures
Item = TypeVar("Item")
Made = TypeVar("Made")
_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def silent(done: int, total: int, figures: dict[str, Any]) -> None:
    """A report that goes nowhere."""


def autocast(device: str | torch.device, precision: Precision) -> contextlib.AbstractContextManager:
    """Mixed precision on a device; nothing for ``fp32``."""
    if precision == "fp32":
        return contextlib.nullcontext()
    return torch.autocast(torch.device(device).type, dtype=_DTYPES[precision])


def ahead(make: Callable[[Item], Made], items: Iterable[Item], workers: int) -> Iterator[Made]:
    """``map(make, items)`` in order, made in threads before they are asked for.

    Pictures decode and resize outside the interpreter's lock, so threads keep a GPU fed. No
    threads for 0 workers.
    """
    if workers == 0:
        yield from map(make, items)
        return
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future[Made]] = deque()
        for item in items:
            waiting.append(pool.submit(make, item))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A path to write to that becomes ``path`` only when the block ends well."""
    part = path.with_name(path.name + ".part")
    yield part
    os.replace(part, path)


def batches(items: list[Item], size: int) -> list[list[Item]]:
    """The items in lists of ``size``, the last possibly shorter."""
    return [items[start : start + size] for start in range(0, len(items), size)]
