"""A trained model on a folder of pictures: any number of them, at a flat memory, resumable.

Predictions go to a file beside the output, a line a picture, and become the output when all are
there. A command that was stopped goes on after the last whole line.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from pycocotools import mask as mask_api

from omnicost.data.images import read_photo
from omnicost.engine.keys import digest
from omnicost.errors import InputError, OmnicostError, on_one_line, short
from omnicost.files import file_digest
from omnicost.labelling.images import ImageList, read_images, repeated
from omnicost.models.students.student import Prediction, Student, load
from omnicost.pipeline.compute import ahead
from omnicost.plain_text import is_plain
from omnicost.progress import Progress, silent
from omnicost.project.model_folder import DESCRIPTION, STUDENT, ModelDescription, read_description

PARTS_HEAD: Final = '"'  # how the scratch file begins: with its identity
READERS: Final = 2  # threads that decode ahead; decoding releases the interpreter's lock


class Photo(NamedTuple):
    """One picture to predict on."""

    image_id: int
    name: str  # relative to its folder
    path: Path


@dataclass(frozen=True)
class PredictOptions:
    """How to predict.

    Args:
        least_score: instances under it are left out.
        batch_images: pictures that go through the network at once.
    """

    least_score: float = 0.05
    batch_images: int = 8
    device: str = "cpu"


class Done(NamedTuple):
    """What a run left: how many pictures and instances, and each unreadable picture's reason."""

    pictures: int
    instances: int
    skipped: tuple[str, ...]


def list_photos(folder: Path, ids: Path | None = None) -> tuple[Photo, ...]:
    """The pictures of a folder and of those inside it, by name, unreadable ones too.

    Args:
        ids: COCO-format file whose ids they get, by file name; else they count from 1.

    Raises:
        InputError: if there is none, or one is not in the file.
    """
    if not folder.is_dir():
        raise InputError(folder, "is no folder", "name a folder of pictures")
    listed = read_images(str(folder.absolute()))
    names = sorted([*(listed.names or ()), *listed.unreadable])
    known = {name: n for n, name in enumerate(names, 1)} if ids is None else _ids_of(ids)
    unknown = [name for name in names if name not in known]
    if unknown:
        problem = f"{len(unknown)} pictures of {folder} are not in it, such as {unknown[0]}"
        raise InputError(ids, problem, "remove them, or leave the ids out")
    return tuple(Photo(known[name], name, folder / name) for name in names)


def _ids_of(path: Path) -> dict[str, int]:
    listed: ImageList | None = read_images(str(path)) if path.is_file() else None
    if listed is None or listed.records is None:
        raise InputError(path, "is no COCO-format file", "give one with images and their ids")
    if twice := repeated(record["file_name"] for record in listed.records):
        raise InputError(path, f"names {short(twice)} twice", "keep one of its ids")
    return {record["file_name"]: record["id"] for record in listed.records}


def predict_folder(
    model: Path,
    photos: Sequence[Photo],
    parts: Path,
    options: PredictOptions | None = None,
    progress: Progress = silent,
) -> ModelDescription:
    """Have a line for every picture in `parts`, computing those that are missing.

    Args:
        model: folder that `omnicost train` wrote.
        parts: scratch file, read by `records`; one of another model, folder or setting is begun
            anew.
        progress: told of pictures done.

    Raises:
        MissingError: if the folder holds no model.
    """
    options = options or PredictOptions()
    description = read_description(model)
    identity = _identity(model, photos, options)
    done = _resume(parts, identity)
    progress(done, len(photos), {})
    if done == len(photos):
        return description
    student = load(model / STUDENT, options.device)
    reading = ahead(_read, photos[done:], READERS)
    with parts.open("a", encoding="utf-8") as file:
        while batch := list(islice(reading, options.batch_images)):
            lines = _lines(student, description, batch, options.least_score)
            file.writelines(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
            file.flush()
            done += len(lines)
            progress(done, len(photos), {})
    return description


def records(parts: Path) -> Iterator[dict[str, Any]]:
    """The lines of a finished `parts`: an image with its annotations, or why it was skipped."""
    with parts.open(encoding="utf-8") as file:
        next(file)  # the identity
        yield from map(json.loads, file)


def predicted(parts: Path) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """The COCO image record and the annotations of each picture of `parts` that was predicted."""
    for record in records(parts):
        if "skipped" not in record:
            yield record["image"], record["annotations"]


def coco_annotations(parts: Path) -> Iterator[dict[str, Any]]:
    """The annotations of a finished `parts`, numbered as they come."""
    found = chain.from_iterable(annotations for _, annotations in predicted(parts))
    return ({"id": number, **each} for number, each in enumerate(found, start=1))


def summary(parts: Path) -> Done:
    """The counts of a finished `parts`."""
    pictures, instances, skipped = 0, 0, []
    for record in records(parts):
        if "skipped" in record:
            skipped.append(f"{on_one_line(record['file_name'])}: {record['skipped']}")
        else:
            pictures += 1
            instances += len(record["annotations"])
    return Done(pictures, instances, tuple(skipped))


def _identity(model: Path, photos: Sequence[Photo], options: PredictOptions) -> str:
    """What the lines depend on: the model, ids, names and bytes of the pictures, least score."""
    names = (photo.name.encode(errors="backslashreplace").decode() for photo in photos)
    pictures = [
        [photo.image_id, name, _bytes_of(photo.path)]
        for name, photo in zip(names, photos, strict=True)
    ]
    files = [file_digest(model / name) for name in (STUDENT, DESCRIPTION)]
    return digest([*files, pictures, options.least_score])


def _bytes_of(path: Path) -> int | None:
    """None of a picture that is gone, or whose link leads nowhere: it will be skipped, and told."""
    try:
        return path.stat().st_size
    except OSError:
        return None


def _resume(parts: Path, identity: str) -> int:
    """How many pictures are done; what follows the last whole line is cut off."""
    first = (json.dumps(identity) + "\n").encode()
    if parts.exists():
        with parts.open("r+b") as file:
            if file.readline() == first:
                lengths = [len(line) for line in file if line.endswith(b"\n")]
                file.truncate(len(first) + sum(lengths))
                return len(lengths)
    parts.write_bytes(first)
    return 0


def _read(photo: Photo) -> tuple[Photo, np.ndarray | str]:
    if not is_plain(photo.name):
        return photo, "its name holds control characters or is no text; rename it"
    try:
        return photo, read_photo(photo.path)
    except OmnicostError as error:
        return photo, str(error)


def _lines(
    student: Student,
    description: ModelDescription,
    batch: Sequence[tuple[Photo, np.ndarray | str]],
    least_score: float,
) -> list[dict[str, Any]]:
    readable = [pixels for _, pixels in batch if not isinstance(pixels, str)]
    predictions = iter(student.predict(readable) if readable else [])
    lines: list[dict[str, Any]] = []
    for photo, pixels in batch:
        if isinstance(pixels, str):
            lines.append({"file_name": photo.name, "skipped": pixels})
            continue
        height, width = pixels.shape[:2]
        image = {"id": photo.image_id, "file_name": photo.name, "height": height, "width": width}
        found = _annotations(description, least_score, photo.image_id, next(predictions))
        lines.append({"image": image, "annotations": found})
    return lines


def _annotations(
    description: ModelDescription, least_score: float, image_id: int, prediction: Prediction
) -> list[dict[str, Any]]:
    found = zip(prediction.rles, prediction.class_indices, prediction.scores, strict=True)
    return [
        {
            "image_id": image_id,
            "category_id": description.category_ids[int(class_index)],
            "bbox": mask_api.toBbox(rle).tolist(),
            "area": float(mask_api.area(rle)),
            "iscrowd": 0,
            "segmentation": {"size": list(rle["size"]), "counts": rle["counts"].decode("ascii")},
            "score": round(float(score), 5),
        }
        for rle, class_index, score in found
        if score >= least_score
    ]
