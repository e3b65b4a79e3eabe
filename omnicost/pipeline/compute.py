"""What the steps share: numeric precision, decoding ahead."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

from omnicost.pipeline.config import Precision

Item = TypeVar("Item")
Made = TypeVar("Made")
_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


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


def batches(items: list[Item], size: int) -> list[list[Item]]:
    """The items in lists of ``size``, the last possibly shorter."""
    return [items[start : start + size] for start in range(0, len(items), size)]
