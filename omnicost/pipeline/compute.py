"""What the steps share: numeric precision, decoding ahead, tables in parts."""

from __future__ import annotations

import contextlib
import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import torch

from omnicost.files import whole_file, write_text
from omnicost.pipeline.config import Precision
from omnicost.progress import Item, fed

Made = TypeVar("Made")
_DTYPES: Mapping[str, torch.dtype] = {"bf16": torch.bfloat16, "fp16": torch.float16}


def autocast(device: str | torch.device, precision: Precision) -> contextlib.AbstractContextManager:
    """16-bit products on a device; nothing for ``fp32`` and ``tf32``."""
    if precision not in _DTYPES:
        return contextlib.nullcontext()
    return torch.autocast(torch.device(device).type, dtype=_DTYPES[precision])


@contextlib.contextmanager
def float32_products(precision: Precision) -> Iterator[None]:
    """How CUDA multiplies what is in fp32, in all threads: exactly for ``fp32``, else in TF32.

    Around a whole step, backward passes included: torch reads it when a product starts. Its own
    setting is exact for matrices and TF32 for convolutions. The older names, since torch refuses to
    tell torch.compile what it is once `fp32_precision` is set; and processors have TF32 too, which
    `set_float32_matmul_precision` would turn on.
    """
    backends: tuple[Any, ...] = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [backend.allow_tf32 for backend in backends]
    try:
        for backend in backends:
            backend.allow_tf32 = precision != "fp32"
        yield
    finally:
        for backend, old in zip(backends, before, strict=True):
            backend.allow_tf32 = old


def ahead(make: Callable[[Item], Made], items: Iterable[Item], workers: int) -> Iterator[Made]:
    """``map(make, items)`` in order, made in threads before they are asked for.

    Pictures decode and resize outside the interpreter's lock, so threads keep a GPU fed. No
    threads for 0 workers. Time that the caller is kept waiting is counted (`progress.fed`).
    """
    return fed(_in_threads(make, items, workers, 2 * workers))


def behind(make: Callable[[Item], Made], items: Iterable[Item], workers: int) -> Iterator[Made]:
    """``map(make, items)`` in order, made in threads while the caller's thread goes on to the next.

    For what is left to do with what a device has drawn: the items come from the caller's thread,
    and no more of them wait than there are workers.
    """
    return _in_threads(make, items, workers, workers)


def workers_of(asked: int | None) -> int:
    """Workers beside this thread: as many as were asked for, else as the stage's threads allow."""
    return torch.get_num_threads() - 1 if asked is None else asked


def _in_threads(
    make: Callable[[Item], Made], items: Iterable[Item], workers: int, most_waiting: int
) -> Iterator[Made]:
    if workers == 0:
        yield from map(make, items)
        return
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future[Made]] = deque()
        for item in items:
            waiting.append(pool.submit(make, item))
            if len(waiting) > most_waiting:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def batches(items: list[Item], size: int) -> list[list[Item]]:
    """The items in lists of ``size``, the last possibly shorter."""
    return [items[start : start + size] for start in range(0, len(items), size)]


def write_figures(path: Path, figures: Mapping[str, Any]) -> None:
    """Write figures as JSON; NaN is refused."""
    write_text(path, json.dumps(figures, indent=1, allow_nan=False) + "\n")


def join_parts(parts: Sequence[Path], path: Path) -> None:
    """Write the rows of some Parquet files, one in memory at a time, as one."""
    import pyarrow.parquet as pq

    with whole_file(path) as whole, pq.ParquetWriter(whole, pq.read_schema(parts[0])) as writer:
        for part in parts:
            writer.write_table(pq.read_table(part))
