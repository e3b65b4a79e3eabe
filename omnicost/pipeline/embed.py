"""Embed: SAM's frozen image encoder runs once per image, into a cache that all teachers read."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from omnicost.data import Dataset
from omnicost.data.splits import permutation
from omnicost.errors import InputError
from omnicost.files import whole_file
from omnicost.models.frame import pixel_values
from omnicost.models.sam import load_sam
from omnicost.pipeline.compute import ahead, autocast, batches
from omnicost.pipeline.config import EmbedConfig
from omnicost.progress import Progress, silent

if TYPE_CHECKING:
    from transformers import SamModel

INDEX = "index.json"
OPEN_SHARDS = 4  # memory maps kept open: bounds the resident memory of a reader


class ImageEncoder:
    """SAM's image encoder on pictures of any size.

    Args:
        sam: the model; only its vision encoder is used.
        config: precision, compilation, memory format.
        device: where the model is.
    """

    def __init__(self, sam: SamModel, config: EmbedConfig, device: str = "cpu") -> None:
        self.side = int(sam.config.vision_config.image_size)
        self.config = config
        self.device = device
        encoder = sam.vision_encoder
        if config.channels_last:
            encoder = encoder.to(memory_format=torch.channels_last)
        self.encoder = torch.compile(encoder) if config.compile else encoder
        grid = self.side // int(sam.config.vision_config.patch_size)
        self.shape = (int(sam.config.vision_config.output_channels), grid, grid)

    @classmethod
    def load(cls, spec: str, config: EmbedConfig, device: str = "cpu") -> ImageEncoder:
        """The encoder of a SAM spec."""
        return cls(load_sam(spec, device, config.attention), config, device)

    def prepare(self, images: Sequence[np.ndarray]) -> torch.Tensor:
        """``(B, 3, side, side)`` input from ``(H, W, 3) uint8`` pictures."""
        return pixel_values(images, self.side)

    @torch.no_grad()
    def encode(self, pixels: torch.Tensor) -> np.ndarray:
        """``(B, C, h, w) float16`` embeddings of prepared pictures."""
        layout = torch.channels_last if self.config.channels_last else torch.contiguous_format
        pixels = pixels.to(self.device, memory_format=layout, non_blocking=True)
        with autocast(self.device, self.config.precision):
            embedded = self.encoder(pixels).last_hidden_state
        return embedded.to(torch.float16).contiguous().cpu().numpy()


class Embeddings:
    """Embeddings of a data set's images, from the cache or encoded in passing.

    Both come in fp16 precision, so that a cached and a passing embedding agree up to its rounding.

    Args:
        folder: of `run`; None when nothing is cached.
        dataset: whose images they are.
        encoder: makes the image encoder when an image is not in the cache.

    Raises:
        InputError: if the cache is another data set's.
    """

    def __init__(
        self, folder: Path | None, dataset: Dataset, encoder: Callable[[], ImageEncoder]
    ) -> None:
        self.dataset = dataset
        self._make_encoder = encoder
        self.folder = folder
        self._rows: dict[int, int] = {}
        self._shard_images = 1
        if folder is not None:
            index = _read_index(folder, dataset)
            self._rows = {image: row for row, image in enumerate(index["images"])}
            self._shard_images = index["shard_images"]
        self._shard = lru_cache(OPEN_SHARDS)(self._open_shard)

    @cached_property
    def encoder(self) -> ImageEncoder:
        """The image encoder, loaded when first needed."""
        return self._make_encoder()

    def __contains__(self, index: int) -> bool:
        return index in self._rows

    def get(self, index: int) -> np.ndarray:
        """``(C, h, w) float16`` embedding of the image of that index."""
        row = self._rows.get(index)
        if row is None:
            return self.encoder.encode(self.encoder.prepare([self.dataset.image(index)]))[0]
        shard, place = divmod(row, self._shard_images)
        return np.array(self._shard(shard)[place])

    def batch(self, indices: Sequence[int], device: str | torch.device = "cpu") -> torch.Tensor:
        """``(B, C, h, w) float32`` embeddings on a device."""
        stacked = torch.from_numpy(np.stack([self.get(index) for index in indices]))
        return stacked.to(device, non_blocking=True).float()

    def _open_shard(self, number: int) -> np.ndarray:
        assert self.folder is not None
        return np.load(_shard_path(self.folder, number), mmap_mode="r", allow_pickle=False)


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
) -> None:
    """Encode images into ``out`` until the size limit is reached.

    Finished shards wait in ``work``: a restart takes up after the last of them.

    Args:
        dataset: whose images to encode.
        sam: spec of the SAM.
        config: precision, batch, size limit.
        out: folder for ``shard-*.npy`` (``(n, C, h, w) float16``) and ``index.json``.
        work: scratch kept over restarts.
        device: a torch device.
        report: told of the images done.
        order: image indices, those that matter most first; the permutation of seed 0 by default,
            whose head is what is labelled first.
    """
    encoder = ImageEncoder.load(sam, config, device)
    chosen = _chosen(dataset, order, encoder, config)
    index = {
        "dataset": dataset.fingerprint,
        "images": chosen,
        "shape": list(encoder.shape),
        "shard_images": config.shard_images,
    }
    _drop_leftovers(work, index)
    shards = batches(chosen, config.shard_images)
    done = 0
    for number, images in enumerate(shards):
        path = _shard_path(work, number)
        if not path.exists():
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
    dataset: Dataset, order: Sequence[int] | None, encoder: ImageEncoder, config: EmbedConfig
) -> list[int]:
    given = permutation(dataset, 0) if order is None else np.asarray(order, np.int64)
    bytes_per_image = 2 * int(np.prod(encoder.shape))
    fitting = int(config.limit_gigabytes * 1e9 // bytes_per_image)
    return given[:fitting].tolist()


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
        shape = (len(images), *encoder.shape)
        shard = np.lib.format.open_memmap(part, "w+", np.float16, shape)
        for pixels in ahead(prepared, groups, encoder.config.workers):
            shard[row : row + len(pixels)] = encoder.encode(pixels)
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
