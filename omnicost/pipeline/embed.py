"""Embed: the frozen image encoder runs once per image, into a cache that all teachers read."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from omnicost.data import Dataset
from omnicost.data.splits import permutation
from omnicost.errors import InputError
from omnicost.files import whole_file
from omnicost.models.teachers.teacher import Promptable, load_promptable
from omnicost.pipeline.compute import ahead, autocast, batches, float32_products, workers_of
from omnicost.pipeline.config import EmbedConfig
from omnicost.pipeline.portions import WHOLE, Portion
from omnicost.progress import Progress, silent

VERSION = 3  # raise when the same parameters give another output
INDEX = "index.json"
Arrays = tuple[np.ndarray, ...]  # (C, h, w) float16 of each level of a picture's features
OPEN_SHARDS = 4  # memory maps kept open: bounds the resident memory of a reader


class ImageEncoder:
    """A promptable model's image encoder on pictures of any size.

    Args:
        model: only its image side is used.
        config: precision, compilation, memory format.
        device: where the model is.
    """

    def __init__(self, model: Promptable, config: EmbedConfig, device: str = "cpu") -> None:
        self.model = model
        self.config = config
        self.device = device
        if config.channels_last:
            model.image_encoder.to(memory_format=torch.channels_last)
        if config.compile:
            model.image_encoder.compile()

    def prepare(self, images: Sequence[np.ndarray]) -> torch.Tensor:
        """``(B, 3, side, side)`` input from ``(H, W, 3) uint8`` pictures."""
        return self.model.frame.pixel_values(images)

    @torch.no_grad()
    def encode(self, pixels: torch.Tensor) -> Arrays:
        """``(B, C, h, w) float16`` of each level, of prepared pictures."""
        layout = torch.channels_last if self.config.channels_last else torch.contiguous_format
        pixels = pixels.to(self.device, memory_format=layout, non_blocking=True)
        with autocast(self.device, self.config.precision):
            features = self.model.encode(pixels)
        return tuple(each.to(torch.float16).contiguous().cpu().numpy() for each in features)


class Embeddings:
    """Embeddings of a data set's images, from the cache or encoded in passing.

    Both come in fp16 precision, so that a cached and a passing embedding agree up to its rounding.

    Args:
        folders: of `run`, one a portion; none when nothing is cached.
        dataset: whose images they are.
        encoder: makes the image encoder when an image is not in the cache.

    Raises:
        InputError: if the cache is another data set's.
    """

    def __init__(
        self, folders: Sequence[Path], dataset: Dataset, encoder: Callable[[], ImageEncoder]
    ) -> None:
        self.dataset = dataset
        self._make_encoder = encoder
        self._places: dict[int, tuple[Path, int]] = {}  # image -> shard and row in it
        self._levels: list[list[int]] = []
        for folder in folders:
            index = _read_index(folder, dataset)
            self._levels = index["levels"]
            for number, images in enumerate(batches(index["images"], index["shard_images"])):
                shard = _shard_path(folder, number)
                self._places |= {image: (shard, row) for row, image in enumerate(images)}
        self._shard = lru_cache(OPEN_SHARDS)(partial(np.load, mmap_mode="r", allow_pickle=False))

    @cached_property
    def encoder(self) -> ImageEncoder:
        """The image encoder, loaded when first needed."""
        return self._make_encoder()

    def __contains__(self, index: int) -> bool:
        return index in self._places

    def get(self, index: int) -> Arrays:
        """``(C, h, w) float16`` of each level of the image of that index."""
        return self.ready(index)()

    def ready(self, index: int) -> Callable[[], Arrays]:
        """`get` in two: all that any thread may do is done now, the encoder's part when called."""
        if index in self:
            cached = self._cached(*self._places[index])
            return lambda: cached
        pixels = self.encoder.prepare([self.dataset.image(index)])
        return lambda: tuple(each[0] for each in self.encoder.encode(pixels))

    def _cached(self, shard: Path, row: int) -> Arrays:
        ends = np.cumsum([math.prod(level) for level in self._levels])
        parts = np.split(np.array(self._shard(shard)[row]), ends[:-1])
        return tuple(part.reshape(level) for part, level in zip(parts, self._levels, strict=True))


class KeptEmbeddings(Embeddings):
    """Embeddings that stay in memory once they are there: of a few images that come up again."""

    @cached_property
    def _kept(self) -> dict[int, Arrays]:
        return {}

    def get(self, index: int) -> Arrays:
        """As `Embeddings`, encoded once."""
        if index not in self._kept:
            self._kept[index] = super().get(index)
        return self._kept[index]


def run(
    dataset: Dataset,
    sam: str,
    config: EmbedConfig,
    *,
    out: Path,
    work: Path,
    device: str = "cpu",
    report: Progress = silent,
    order: Sequence[int] | None = None,
    portion: Portion = WHOLE,
) -> None:
    """Encode images into ``out``, as far as the size limit goes.

    Finished shards wait in ``work``: a restart takes up after the last of them.

    Args:
        dataset: whose images to encode.
        sam: spec of the promptable model.
        config: precision, batch, size limit.
        out: folder for ``shard-*.npy`` (``(n, D) float16``, the levels one after the other) and
            ``index.json``.
        work: scratch kept over restarts.
        device: a torch device.
        report: told of the images done.
        order: image indices, those that matter most first; the permutation of seed 0 by default,
            whose head is what is labelled first.
        portion: of that order.
    """
    encoder = ImageEncoder(load_promptable(sam, device, config.attention), config, device)
    chosen = _chosen(dataset, order, portion, encoder, config)
    index = {
        "dataset": dataset.fingerprint,
        "images": chosen,
        "levels": [list(level) for level in encoder.model.levels],
        "shard_images": config.shard_images,
    }
    _drop_leftovers(work, index)
    shards = batches(chosen, config.shard_images)
    done = 0
    for number, images in enumerate(shards):
        path = _shard_path(work, number)
        if not path.exists():
            with float32_products(config.precision):
                _write_shard(path, dataset, images, encoder, done, len(chosen), report)
        done += len(images)
        report(done, len(chosen), {})
    for number in range(len(shards)):
        shutil.move(_shard_path(work, number), _shard_path(out, number))
    (out / INDEX).write_text(json.dumps(index))


def _drop_leftovers(work: Path, index: dict[str, Any]) -> None:
    """Forget the shards of an interrupted run that had other images or shards in mind."""
    plan = work / INDEX
    text = json.dumps(index)
    if not plan.exists() or plan.read_text() != text:
        for shard in work.glob("shard-*.npy*"):
            shard.unlink()
        plan.write_text(text)


def _chosen(
    dataset: Dataset,
    order: Sequence[int] | None,
    portion: Portion,
    encoder: ImageEncoder,
    config: EmbedConfig,
) -> list[int]:
    """The images of a portion that are within the limit, which is that of all portions together."""
    given = permutation(dataset, 0) if order is None else np.asarray(order, np.int64)
    fitting = int(config.limit_gigabytes * 1e9 // (2 * _numbers(encoder)))
    return given[:fitting][portion.of(len(given))].tolist()


def _numbers(encoder: ImageEncoder) -> int:
    """Numbers that the cache holds of a picture."""
    return sum(math.prod(level) for level in encoder.model.levels)


def _write_shard(
    path: Path,
    dataset: Dataset,
    images: list[int],
    encoder: ImageEncoder,
    done: int,
    total: int,
    report: Progress,
) -> None:
    def prepared(indices: list[int]) -> torch.Tensor:
        return encoder.prepare([dataset.image(index) for index in indices])

    groups = batches(images, encoder.config.batch_images)
    started, row = time.perf_counter(), 0
    with whole_file(path) as part:
        shape = (len(images), _numbers(encoder))
        shard = np.lib.format.open_memmap(part, "w+", np.float16, shape)
        for pixels in ahead(prepared, groups, workers_of(encoder.config.workers)):
            levels = [each.reshape(len(pixels), -1) for each in encoder.encode(pixels)]
            np.concatenate(levels, 1, out=shard[row : row + len(pixels)])
            row += len(pixels)
            rate = row / (time.perf_counter() - started)
            report(done + row, total, {"images_per_second": round(rate, 3)})
        shard.flush()
        del shard


def _shard_path(folder: Path, number: int) -> Path:
    return folder / f"shard-{number:05d}.npy"


def _read_index(folder: Path, dataset: Dataset) -> dict[str, Any]:
    try:
        index = json.loads((folder / INDEX).read_text())
    except (OSError, ValueError):
        raise InputError(
            folder / INDEX, "no index of embeddings can be read", "run the embed step again"
        ) from None
    if index["dataset"] != dataset.fingerprint:
        raise InputError(
            folder, f"embeddings of another data set than {dataset.name}", "embed this one"
        )
    return index
