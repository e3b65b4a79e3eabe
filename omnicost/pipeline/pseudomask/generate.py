"""Pseudo-masks: one pass over the images serves every annotation type and cell asked for.

Each job has an artefact of its own, which never depends on the jobs that shared its pass. The
table that `read` gives has a row for each mask:

| column | |
|---|---|
| image_id, annotation_id | int64; the annotation is -1 for a detection |
| class_index, score | int32, float32 in [0, 1]: of the detection, or SAM's own IoU estimate |
| source | the annotation type; ``human`` for a real mask |
| box | tight around the mask: x0 y0 x1 y1 in pixels |
| rle, height, width | counts of the compressed COCO RLE, size of the image |
| point, sam_box, prompt_box | what prompted it: x y of each point, box of P-SAM's mask, box |
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from omnicost.data import Dataset
from omnicost.errors import InputError
from omnicost.files import whole_file
from omnicost.models.teachers.teacher import Promptable, load_promptable
from omnicost.models.text import load_text_encoder
from omnicost.pipeline.compute import ahead, behind, float32_products, join_parts, workers_of
from omnicost.pipeline.config import DEFAULT_EMBED, EmbedConfig, PseudomaskConfig
from omnicost.pipeline.embed import Embeddings, ImageEncoder
from omnicost.pipeline.proposals import Detections
from omnicost.pipeline.pseudomask.rows import (
    Annotator,
    DrawnMasks,
    Job,
    MaskRow,
    Prompted,
    ReadEmbedding,
    to_table,
)
from omnicost.pipeline.teacher.prompting import Teacher
from omnicost.pipeline.teacher.train import load_teacher
from omnicost.progress import Progress, silent

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq
    import torch

VERSION = 2  # raise when the same parameters give another output
MASKS = "pseudomasks.parquet"
BLOCK_PIXELS = 1 << 26  # of a block's pictures: their masks, a byte a pixel each, lie in memory
READERS, ENCODERS = 2, 1  # most threads of each: blocks of embeddings fill memory


def run(
    dataset: Dataset,
    sam: str,
    text: str,
    config: PseudomaskConfig,
    jobs: Sequence[Job],
    *,
    work: Path,
    embeddings: Sequence[Path] = (),
    embed: EmbedConfig = DEFAULT_EMBED,
    device: str = "cpu",
    report: Progress = silent,
) -> None:
    """Write ``pseudomasks.parquet`` into the folder of every job, in one pass over the images.

    An image is read and encoded at most once, whatever the number of jobs. Parts that are done
    wait in ``work``: a restart goes on from there, with the same jobs or others.

    Args:
        dataset: the training split.
        sam: spec of the SAM that the teachers were tuned from.
        text: spec of the text encoder.
        config: precision and batching.
        jobs: what to draw.
        work: scratch kept over restarts.
        embeddings: folders of the embed step; none to encode every image in passing.
        embed: how an image that is not cached is encoded.
        device: a torch device.
        report: told of the images done, a picture of several jobs counted once for each.
    """
    model = load_promptable(sam, device, embed.attention)
    encoder = ImageEncoder(model, embed, device)
    cached = Embeddings(embeddings, dataset, lambda: encoder)
    annotators = _annotators(dataset, model, text, config, jobs, device)
    # A part's number says which images it has only beside the number of images of a part.
    scratch = f"by-{config.part_images}"
    folders = {job.identity: (job.work or work) / job.identity / scratch for job in jobs}
    total = sum(len(job.images) for job in jobs)
    done = 0
    for number, waiting in _parts(jobs, config.part_images):
        todo = {
            name: images
            for name, images in waiting.items()
            if not _part_path(folders[name], number).exists()
        }
        with float32_products(config.precision):
            rows = _Pass(todo, annotators, cached, config).rows()
        for name, found in rows.items():
            _save(_part_path(folders[name], number), found)
        done += sum(map(len, waiting.values()))
        report(done, total, {"masks": sum(map(len, rows.values()))})
    for job in jobs:
        join_parts(sorted(folders[job.identity].glob("part-*.parquet")), job.out / MASKS)


def read(path: Path) -> pa.Table:
    """The table of pseudo-masks of a folder that `run` wrote, or of the file in it.

    Raises:
        InputError: if there is none.
    """
    return open_table(path).read()


def open_table(path: Path) -> pq.ParquetFile:
    """The same, to read in parts.

    Raises:
        InputError: if there is none.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = path / MASKS if path.is_dir() else path
    try:
        return pq.ParquetFile(file)
    except (OSError, pa.ArrowInvalid):
        raise InputError(
            file, "no pseudo-masks can be read", "run the pseudomask step again"
        ) from None


def _annotators(
    dataset: Dataset,
    sam: Promptable,
    text: str,
    config: PseudomaskConfig,
    jobs: Sequence[Job],
    device: str,
) -> dict[str, Annotator]:
    """All that the jobs need, checked before the first image; what several share is loaded once."""

    @cache
    def class_text(template: str) -> torch.Tensor:
        return load_text_encoder(text, device).encode(dataset.class_names, template)

    @cache
    def teacher(folder: Path) -> Teacher:
        return load_teacher(folder, sam, class_text, device)

    detections = cache(Detections)
    annotators = {}
    for job in jobs:
        found = detections(tuple(job.detections)) if job.detections else None
        teachers = {role: teacher(folder) for role, folder in job.teachers.items()}
        annotators[job.identity] = Annotator(dataset, job, teachers, found, config, device)
    return annotators


def _parts(jobs: Sequence[Job], size: int) -> Iterator[tuple[int, dict[str, list[int]]]]:
    """Number of each stretch of image indices, and the images of each job in it."""
    stretches: dict[int, dict[str, list[int]]] = {}
    for job in jobs:
        stretches.setdefault(0, {}).setdefault(job.identity, [])  # a job without images has a table
        for index in sorted(int(each) for each in job.images):
            stretches.setdefault(index // size, {}).setdefault(job.identity, []).append(index)
    yield from sorted(stretches.items())


class _Block(NamedTuple):
    """Neighbouring images: what each job asks about them, and their embeddings."""

    prompted: Mapping[str, Sequence[Prompted]]
    embedding: ReadEmbedding  # one that is not cached is encoded when it is first asked for


class _Pass:
    """One pass over the images of some jobs, each image's embedding read once.

    Threads read the next blocks and encode the masks of the last; the caller's only draws. Blocks
    are stretches of indices, so that the prompts that a job decodes together, and with them its
    last bits, do not depend on the images of other jobs.
    """

    def __init__(
        self,
        todo: Mapping[str, Sequence[int]],
        annotators: Mapping[str, Annotator],
        embeddings: Embeddings,
        config: PseudomaskConfig,
    ) -> None:
        self.todo = {name: set(images) for name, images in todo.items()}
        self.annotators = annotators
        self.embeddings = embeddings
        self.block_of = blocks_of(embeddings.dataset.sizes, config.images_per_block)
        self.workers = workers_of(config.workers)

    def rows(self) -> dict[str, list[MaskRow]]:
        """The rows of every job on its images."""
        rows: dict[str, list[MaskRow]] = {name: [] for name in self.todo}
        for name, found in behind(self._encoded, self._drawn(), min(self.workers, ENCODERS)):
            rows[name].extend(found)
        return rows

    def _drawn(self) -> Iterator[tuple[str, list[DrawnMasks]]]:
        for block in ahead(self._read, self._blocks(), min(self.workers, READERS)):
            for name, prompted in block.prompted.items():
                yield name, self.annotators[name].draw(prompted, block.embedding)

    def _blocks(self) -> list[list[int]]:
        images = sorted(set().union(*self.todo.values()))
        return [list(block) for _, block in groupby(images, self.block_of.__getitem__)]

    def _read(self, block: list[int]) -> _Block:
        own = {name: [i for i in block if i in images] for name, images in self.todo.items()}
        prompted = {
            name: [self.annotators[name].prompts(index) for index in images]
            for name, images in own.items()
            if images
        }
        asked = {each.image for some in prompted.values() for each in some if each.is_asked}
        ready = {index: self.embeddings.ready(index) for index in sorted(asked)}
        return _Block(prompted, cache(lambda index: ready.pop(index)()))

    def _encoded(self, one: tuple[str, list[DrawnMasks]]) -> tuple[str, list[MaskRow]]:
        name, drawn = one
        return name, self.annotators[name].rows(drawn)


def blocks_of(sizes: np.ndarray, images: int) -> list[tuple[int, int]]:
    """The block of each image of a data set, cut by count and, where pictures are large, by pixels.

    Args:
        sizes: ``(I, 2)`` height and width.
        images: most in a block; after `BLOCK_PIXELS` the next image starts another, too.
    """
    areas = sizes.astype(np.int64).prod(1)
    before = np.cumsum(areas) - areas
    stretch = np.arange(len(areas)) // images
    parts = (before - before[stretch * images]) // BLOCK_PIXELS
    return list(zip(stretch.tolist(), parts.tolist(), strict=True))


def _part_path(folder: Path, number: int) -> Path:
    return folder / f"part-{number:06d}.parquet"


def _save(path: Path, rows: Sequence[MaskRow]) -> None:
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as part:
        pq.write_table(to_table(rows), part)
