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
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from omnicost.data import Dataset
from omnicost.errors import InputError
from omnicost.files import whole_file
from omnicost.models.teachers.teacher import load_promptable
from omnicost.models.text import load_text_encoder
from omnicost.pipeline.compute import float32_products
from omnicost.pipeline.config import DEFAULT_EMBED, EmbedConfig, PseudomaskConfig
from omnicost.pipeline.embed import Arrays, Embeddings, ImageEncoder
from omnicost.pipeline.proposals import Detections
from omnicost.pipeline.pseudomask.job import Job
from omnicost.pipeline.pseudomask.rows import Annotator, Row, to_table
from omnicost.pipeline.teacher.prompting import Teacher
from omnicost.pipeline.teacher.train import load_teacher
from omnicost.progress import Progress, silent

if TYPE_CHECKING:
    import pyarrow as pa
    import torch

VERSION = 2  # raise when the same parameters give another output
MASKS = "pseudomasks.parquet"

__all__ = ["MASKS", "Job", "read", "run"]


def run(
    dataset: Dataset,
    sam: str,
    text: str,
    config: PseudomaskConfig,
    jobs: Sequence[Job],
    *,
    work: Path,
    embeddings: Path | None = None,
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
        embeddings: folder of the embed step; None to encode every image in passing.
        embed: how an image that is not cached is encoded.
        device: a torch device.
        report: told of the images done, a picture of several jobs counted once for each.
    """
    shared = _Shared(dataset, sam, text, embeddings, embed, device)
    annotators = {job.identity: shared.annotator(job, config) for job in jobs}
    folders = {job.identity: (job.work or work) / job.identity for job in jobs}
    total = sum(len(job.images) for job in jobs)
    done = 0
    for number, waiting in _parts(jobs, config.part_images):
        todo = {
            name: images
            for name, images in waiting.items()
            if not _part_path(folders[name], number).exists()
        }
        with float32_products(config.precision):
            rows = _pass(todo, annotators, shared.embeddings, config.images_per_block)
        for name, found in rows.items():
            _save(_part_path(folders[name], number), found)
        done += sum(map(len, waiting.values()))
        report(done, total, {"masks": sum(map(len, rows.values()))})
    for job in jobs:
        _join(sorted(folders[job.identity].glob("part-*.parquet")), job.out / MASKS)


def read(path: Path) -> pa.Table:
    """The table of pseudo-masks of a folder that `run` wrote, or of the file in it.

    Raises:
        InputError: if there is none.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = path / MASKS if path.is_dir() else path
    try:
        return pq.read_table(file)
    except (OSError, pa.ArrowInvalid):
        raise InputError(
            file, "no pseudo-masks can be read", "run the pseudomask step again"
        ) from None


class _Shared:
    """What several jobs have in common is loaded once."""

    def __init__(
        self,
        dataset: Dataset,
        sam: str,
        text: str,
        embeddings: Path | None,
        embed: EmbedConfig,
        device: str,
    ) -> None:
        self.dataset = dataset
        self.text = text
        self.device = device
        self.sam = load_promptable(sam, device, embed.attention)
        encoder = ImageEncoder(self.sam, embed, device)
        self.embeddings = Embeddings(embeddings, dataset, lambda: encoder)
        self._teachers: dict[Path, Teacher] = {}
        self._detections: dict[Path, Detections] = {}
        self._features: dict[str, torch.Tensor] = {}

    def annotator(self, job: Job, config: PseudomaskConfig) -> Annotator:
        """Everything that a job needs, checked before the first image."""
        found = None if job.detections is None else self.detections(job.detections)
        teachers = {role: self.teacher(path) for role, path in job.teachers.items()}
        return Annotator(self.dataset, job, teachers, found, config, self.device)

    def teacher(self, folder: Path) -> Teacher:
        if folder not in self._teachers:
            teacher = load_teacher(folder, self.sam, self.features, self.device)
            self._teachers[folder] = teacher
        return self._teachers[folder]

    def detections(self, folder: Path) -> Detections:
        if folder not in self._detections:
            self._detections[folder] = Detections(folder)
        return self._detections[folder]

    def features(self, template: str) -> torch.Tensor:
        if template not in self._features:
            encoder = load_text_encoder(self.text, self.device)
            self._features[template] = encoder.encode(self.dataset.class_names, template)
        return self._features[template]


def _parts(jobs: Sequence[Job], size: int) -> Iterator[tuple[int, dict[str, list[int]]]]:
    """Number of each stretch of image indices, and the images of each job in it."""
    stretches: dict[int, dict[str, list[int]]] = {}
    for job in jobs:
        stretches.setdefault(0, {}).setdefault(job.identity, [])  # a job without images has a table
        for index in sorted(int(each) for each in job.images):
            stretches.setdefault(index // size, {}).setdefault(job.identity, []).append(index)
    yield from sorted(stretches.items())


def _pass(
    todo: Mapping[str, Sequence[int]],
    annotators: Mapping[str, Annotator],
    embeddings: Embeddings,
    images_per_block: int,
) -> dict[str, list[Row]]:
    """The rows of every job on its images, each image's embedding read once.

    Blocks are stretches of indices, so that the prompts that a job decodes together, and with them
    its last bits, do not depend on the images of other jobs.
    """
    rows: dict[str, list[Row]] = {name: [] for name in todo}
    wanted = {name: set(images) for name, images in todo.items()}
    union = sorted(set().union(*wanted.values()))
    for _, block in groupby(union, lambda index: index // images_per_block):
        images_here = list(block)
        read_once = _Memo(embeddings)
        for name, images in wanted.items():
            own = [index for index in images_here if index in images]
            if own:
                rows[name].extend(annotators[name].rows(own, read_once.get))
    return rows


class _Memo:
    """Embeddings of one block of images, each read when first asked for."""

    def __init__(self, embeddings: Embeddings) -> None:
        self._embeddings = embeddings
        self._read: dict[int, Arrays] = {}

    def get(self, index: int) -> Arrays:
        if index not in self._read:
            self._read[index] = self._embeddings.get(index)
        return self._read[index]


def _part_path(folder: Path, number: int) -> Path:
    return folder / f"part-{number:06d}.parquet"


def _save(path: Path, rows: Sequence[Row]) -> None:
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as part:
        pq.write_table(to_table(rows), part)


def _join(parts: Sequence[Path], path: Path) -> None:
    import pyarrow.parquet as pq

    with whole_file(path) as whole, pq.ParquetWriter(whole, pq.read_schema(parts[0])) as writer:
        for part in parts:
            writer.write_table(pq.read_table(part))
