"""What a student learns from: real masks where images are labelled, pseudo-masks elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from pycocotools import mask as mask_api

from omnicost.annotation import AnnotationType
from omnicost.data import Dataset
from omnicost.data.seeding import generator
from omnicost.errors import InputError
from omnicost.models.students.student import ImageTargets
from omnicost.pipeline.compute import workers_of
from omnicost.pipeline.quality.calibration import ScoreCalibration
from omnicost.pipeline.student.augment import Patch, Picture, Sample, augment
from omnicost.pipeline.student.config import StudentConfig
from omnicost.progress import fed

CACHE_BYTES = 256 << 20  # decoded pictures and masks kept when a whole data set is under this


class World(NamedTuple):
    """The place of this process among those that train one student together."""

    rank: int = 0
    size: int = 1


ALONE = World()


class Labels(NamedTuple):
    """The N instances that one image teaches."""

    classes: np.ndarray  # (N,) int64
    weights: np.ndarray  # (N,) float32
    rles: tuple[dict[str, Any], ...]
    exponents: np.ndarray | None = None  # (N,) float32 as of `criterion.generalised`; None: 0


class PseudoLabels(NamedTuple):
    """Pseudo-masks in order of image."""

    image_ids: np.ndarray  # (R,) int64, ascending
    classes: np.ndarray  # (R,) int64
    scores: np.ndarray  # (R,) float32
    counts: Sequence[bytes]  # R compressed run-length codes


def read_pseudo_labels(
    paths: Sequence[Path],
    min_score: float = 0.0,
    calibrations: Mapping[str, ScoreCalibration] | None = None,
) -> PseudoLabels:
    """Pseudo-masks of one or several artefacts of the pseudo-mask step.

    Args:
        paths: of the artefacts.
        min_score: masks below it are left out.
        calibrations: by source; scores of the others stay as they are.
    """
    if not paths:
        nothing = np.zeros(0)
        return PseudoLabels(nothing.astype(np.int64), nothing.astype(np.int64), nothing, ())
    import pyarrow as pa
    import pyarrow.compute as pc

    from omnicost.pipeline.pseudomask import generate as pseudomask

    names = ["image_id", "class_index", "score", "source", "rle"]
    tables = [pseudomask.read(path).select(names) for path in paths]
    table = pa.concat_tables(tables).filter(pc.field("score") >= min_score)
    table = table.take(np.argsort(table["image_id"].to_numpy(), kind="stable"))
    scores = table["score"].to_numpy().astype(np.float32)
    sources = np.asarray(table["source"].to_pylist(), object)
    for source, calibration in (calibrations or {}).items():
        own = sources == source
        scores[own] = calibration(scores[own])
    return PseudoLabels(
        table["image_id"].to_numpy(),
        table["class_index"].to_numpy().astype(np.int64),
        scores,
        table["rle"].combine_chunks(),
    )


class TrainingSet:
    """The images that a student trains on, and what each teaches.

    Args:
        dataset: the training split.
        strengths: ``(I,)`` annotation type of each image, as `splits.assign` gives them.
        pseudo: pseudo-masks of the images without masks.
        config: whether empty images count, and how pseudo-masks weigh.

    Raises:
        InputError: if no image teaches anything.
    """

    def __init__(
        self, dataset: Dataset, strengths: np.ndarray, pseudo: PseudoLabels, config: StudentConfig
    ) -> None:
        self.dataset = dataset
        self.is_real = np.asarray(strengths) == AnnotationType.MASK.strength
        self.pseudo = pseudo
        self.weigh_by_score = config.pseudo_weight != "one"
        self.exponent = config.pseudo_exponent
        ids = dataset.image_ids
        self._first = np.searchsorted(pseudo.image_ids, ids, "left")
        self._end = np.searchsorted(pseudo.image_ids, ids, "right")
        self.indices = self._usable(config.skip_empty_images)
        self._cache: dict[int, Picture] | None = {} if self._fits() else None

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def is_kept(self) -> bool:
        """Whether pictures stay in memory once they are decoded."""
        return self._cache is not None

    def labels(self, index: int) -> Labels:
        """What the image of that index in the data set teaches."""
        if self.is_real[index]:
            truth = self.dataset.instances(index)
            ones = np.ones(len(truth.rles), np.float32)
            return Labels(truth.class_indices, ones, truth.rles, self._exponents(0 * ones))
        rows = slice(self._first[index], self._end[index])
        height, width = self.dataset.sizes[index].tolist()
        counts = (_bytes(code) for code in self.pseudo.counts[rows])
        scores = self.pseudo.scores[rows].astype(np.float32)
        return Labels(
            self.pseudo.classes[rows],
            scores if self.weigh_by_score else np.ones_like(scores),
            tuple({"size": [height, width], "counts": code} for code in counts),
            self._exponents(np.full_like(scores, self.exponent)),
        )

    def _exponents(self, exponents: np.ndarray) -> np.ndarray | None:
        return exponents if self.exponent else None

    def picture(self, index: int) -> Picture:
        """Picture and masks of the image of that index in the data set, decoded."""
        if self._cache is not None and index in self._cache:
            return self._cache[index]
        labels = self.labels(index)
        patches = tuple(decode_patch(rle) for rle in labels.rles)
        pixels = self.dataset.image(index)
        picture = Picture(pixels, patches, labels.classes, labels.weights, labels.exponents)
        if self._cache is not None:
            self._cache[index] = picture
        return picture

    def _usable(self, skip_empty: bool) -> np.ndarray:
        if not skip_empty:
            return np.arange(len(self.dataset))
        teaches = self._end > self._first
        for index in np.flatnonzero(self.is_real).tolist():
            teaches[index] = len(self.dataset.instances(index).class_indices) > 0
        if not teaches.any():
            raise InputError(
                f"{self.dataset.name} {self.dataset.split}",
                "no image has a mask or pseudo-mask to learn from",
                "label some images or lower detect.threshold",
            )
        return np.flatnonzero(teaches)

    def _fits(self) -> bool:
        pixels = self.dataset.sizes[self.indices].astype(np.int64).prod(1).sum()
        return bool(pixels * 8 < CACHE_BYTES)  # 3 colours and some masks


def decode_patch(rle: dict[str, Any]) -> Patch:
    """A mask, decoded by itself: all of an image's at once would be most of its memory."""
    left, top, width, height = mask_api.toBbox(rle).astype(int).tolist()
    whole = mask_api.decode(rle)
    return Patch(top, left, np.ascontiguousarray(whole[top : top + height, left : left + width]))


def _bytes(code: Any) -> bytes:
    return bytes(code.as_py() if hasattr(code, "as_py") else code)


class Batch(NamedTuple):
    """One process's share of a step."""

    step: int
    image_ids: tuple[int, ...]
    images: torch.Tensor  # (B, 3, H, W) uint8
    targets: list[ImageTargets]


class StepBatches(torch.utils.data.Dataset):  # type: ignore[type-arg]
    """The batch of each step, a function of the seed and the step alone.

    Images are drawn by epochs: each is seen once before any is seen again.
    """

    def __init__(
        self, training: TrainingSet, config: StudentConfig, seed: int, world: World = ALONE
    ) -> None:
        self.training = training
        self.config = config
        self.seed = seed
        self.world = world
        self._epoch = -1
        self._order = np.zeros(0, np.int64)

    def __len__(self) -> int:
        return self.config.schedule.steps

    def __getitem__(self, step: int) -> Batch:
        size = self.config.schedule.batch_images
        draws = range(step * size + self.world.rank, (step + 1) * size, self.world.size)
        indices = [self.image_at(draw) for draw in draws]
        views = [self._view(index, draw) for index, draw in zip(indices, draws, strict=True)]
        pixels = np.empty((len(views), 3, *self.config.augment.crop), np.uint8)
        for place, view in zip(pixels, views, strict=True):
            place[:] = view.image.transpose(2, 0, 1)
        return Batch(
            step,
            tuple(self.training.dataset.image_ids[indices].tolist()),
            torch.from_numpy(pixels),
            [_target(view) for view in views],
        )

    def image_at(self, draw: int) -> int:
        """The data set's index of the draw-th image that the run sees."""
        epoch, place = divmod(draw, len(self.training))
        if epoch != self._epoch:
            self._epoch = epoch
            order = generator(self.seed, "student order", epoch).permutation(len(self.training))
            self._order = self.training.indices[order]
        return int(self._order[place])

    def _view(self, index: int, draw: int) -> Sample:
        rng = generator(self.seed, "student view", draw)
        return augment(self.training.picture(index), self.config.augment, rng)


def _target(view: Sample) -> ImageTargets:
    return ImageTargets(
        torch.from_numpy(view.masks),
        torch.from_numpy(view.classes.astype(np.int64)),
        torch.from_numpy(view.weights.astype(np.float32)),
        None if view.exponents is None else torch.from_numpy(view.exponents),
    )


def loader(batches: StepBatches, start: int, device: str) -> Iterator[Batch]:
    """The batches from a step on, decoded and augmented in workers where there are any."""
    asked = batches.config.workers
    workers = 0 if asked is None and batches.training.is_kept else workers_of(asked)
    steps = range(start, len(batches))
    if workers == 0:
        return fed(batches[step] for step in steps)
    return _or_raised(
        torch.utils.data.DataLoader(
            _Handed(batches),
            sampler=steps,
            batch_size=None,
            num_workers=workers,
            pin_memory=device.startswith("cuda"),
            persistent_workers=False,
        )
    )


class _Handed(torch.utils.data.Dataset):  # type: ignore[type-arg]
    """Batches of a worker; what is wrong with the input comes back in a batch's place.

    torch raises a worker's error anew as its type with one text, which ours cannot be made of.
    """

    def __init__(self, batches: StepBatches) -> None:
        self.batches = batches

    def __getitem__(self, step: int) -> Batch | InputError:
        try:
            return self.batches[step]
        except InputError as error:
            return error


def _or_raised(handed: Iterable[Batch | InputError]) -> Iterator[Batch]:
    for each in fed(handed):
        if isinstance(each, InputError):
            raise each
        yield each
