"""The files that say which image gets which annotation, and hand the work to labelling tools.

Annotators fill such files in. So a file is written anew, or removed because no image has its type
any more, only while it is byte for byte what was written; `INDEX` keeps the digests.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

import numpy as np

from omnicost.annotation import AnnotationType
from omnicost.errors import InputError
from omnicost.files import MARK, file_digest, flush, write_json
from omnicost.labelling import cvat, label_studio
from omnicost.labelling.how_to import how_to_import
from omnicost.labelling.images import ImageList
from omnicost.plain_text import plain_cell

INDEX: Final = "omnicost.json"
HOW_TO: Final = "HOW_TO_IMPORT.txt"
_CHUNK: Final = 100_000

_Digests = dict[str, list[str]]


class Manifest(NamedTuple):
    """What was written.

    Attributes:
        files: their paths.
        unreadable: pictures of a folder whose size could not be read, and stands in no list.
    """

    files: list[Path]
    unreadable: tuple[str, ...]


def write_manifest(
    folder: Path,
    images: ImageList,
    assigned: np.ndarray,
    image_prefix: str = "",
    inputs: Iterable[Path | None] = (),
) -> Manifest:
    """Write the assignment: one CSV, and of each type used a COCO list and tasks for labelling.

    An earlier manifest in the folder is replaced while nobody has changed it; other files there
    are left alone. A bare count has places for ids, and no tasks, which need pictures.

    Args:
        folder: where; made if it does not exist.
        images: what the rows stand for.
        assigned: (N,) strengths, from `assign`.
        image_prefix: URL or path put before file names in tasks.
        inputs: files that the plan was made from; never replaced.

    Raises:
        InputError: if a file in the way was not written here or has been changed since, or the
            folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        known = _read_index(folder)
        with TemporaryDirectory(prefix=".omnicost-", dir=folder) as name:
            scratch = Path(name)
            unreadable = _write_files(scratch, images, assigned, image_prefix)
            made = {path.name: file_digest(path) for path in scratch.iterdir()}
            for name in sorted({*made, *known}):
                _refuse_changed(folder / name, known.get(name, ()), tuple(inputs))
            _publish(scratch, folder, made, known)
    except OSError as error:
        problem = f"cannot be written ({error.strerror})"
        raise InputError(folder, problem, "choose another") from None
    return Manifest([folder / name for name in sorted(made)], unreadable)


def _read_index(folder: Path) -> _Digests:
    """Digests of the files of an earlier manifest, by name; empty where there is none."""
    path = folder / INDEX
    if not path.exists():
        return {}
    try:
        files = json.loads(path.read_bytes())["files"]
        return {str(name): [str(digest) for digest in digests] for name, digests in files.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InputError(path, "is no index of a manifest", "name another folder") from None


def _refuse_changed(path: Path, digests: Iterable[str], inputs: Iterable[Path | None]) -> None:
    if not os.path.lexists(path):
        return
    if any(given is not None and given.exists() and given.samefile(path) for given in inputs):
        raise InputError(path, "is an input of this command", "name another folder")
    if path.is_file() and file_digest(path) in digests:
        return
    problem = "was not written by omnicost, or has been filled in or changed since"
    raise InputError(path, problem, "name another folder")


def _publish(scratch: Path, folder: Path, made: dict[str, str], known: _Digests) -> None:
    """Rename the new files into place; killed half-way, old and new are both still known."""
    both = {name: [*known.get(name, ()), made[name]] for name in made}
    _write_index(folder, {**known, **both})
    for name in made:
        flush(scratch / name)
        os.replace(scratch / name, folder / name)
    for name in set(known) - set(made):
        (folder / name).unlink(missing_ok=True)
    _write_index(folder, {name: [digest] for name, digest in made.items()})


def _write_index(folder: Path, files: _Digests) -> None:
    write_json(folder / INDEX, {"note": f"{MARK}: digests of its files", "files": files})


def _write_files(
    folder: Path, images: ImageList, assigned: np.ndarray, prefix: str
) -> tuple[str, ...]:
    unreadable: list[str] = []
    _write_csv(folder / "manifest.csv", images, assigned)
    for annotation in AnnotationType:
        rows = np.flatnonzero(assigned == annotation.strength)
        if len(rows):
            _write_coco(folder / f"coco_{annotation}.json", images, rows, unreadable)
            if images.names is not None and annotation is not AnnotationType.NONE:
                _write_tasks(folder, images, rows, annotation, prefix)
    used = [each for each in AnnotationType if (assigned == each.strength).any()]
    (folder / HOW_TO).write_text(how_to_import(images, used, prefix), encoding="utf-8")
    return tuple(unreadable)


def _write_csv(path: Path, images: ImageList, assigned: np.ndarray) -> None:
    types = [str(each) for each in AnnotationType]
    names = images.names
    shown = ((),) * images.count if names is None else ((plain_cell(name),) for name in names)
    rows = zip(range(images.count), shown, assigned.tolist(), strict=True)
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        middle = [] if names is None else ["file_name"]
        writer.writerow(["image_id", *middle, "annotation_type"])
        writer.writerows((images.image_id(row), *name, types[one]) for row, name, one in rows)


def _write_coco(path: Path, images: ImageList, rows: np.ndarray, unreadable: list[str]) -> None:
    """The images of one type as a COCO file without annotations, ready to be filled."""
    categories = list(images.categories)
    head = {"info": {"description": MARK}, "annotations": [], "categories": categories}

    def records() -> Iterator[str]:
        for record in map(images.record, rows.tolist()):
            if images.folder is not None and "width" not in record:
                unreadable.append(record["file_name"])
            yield json.dumps(record)

    _write_list(path, json.dumps(head)[:-1] + ', "images": [\n', records(), "]}")


def _write_tasks(
    folder: Path, images: ImageList, rows: np.ndarray, annotation: AnnotationType, prefix: str
) -> None:
    names, classes = images.names or (), images.class_names
    own = [(images.image_id(row), names[row]) for row in rows.tolist()]
    studio = folder / f"label_studio_{annotation}.json"
    tasks = (label_studio.task(annotation, image_id, name, prefix) for image_id, name in own)
    _write_list(studio, "[\n", tasks, "]")
    interface = label_studio.interface(annotation, classes)
    studio.with_suffix(".xml").write_text(interface, encoding="utf-8")
    head = cvat.task_head(annotation, classes, prefix)
    resources = (cvat.resource(name, prefix) for _, name in own)
    _write_list(folder / f"cvat_{annotation}.json", head + "\n", resources, "]}")


def _write_list(path: Path, head: str, items: Iterator[str], tail: str) -> None:
    """A JSON list written in pieces, so that a million images never stand in memory as text."""
    with path.open("w", encoding="utf-8") as file:
        file.write(head)
        separator = ""
        while piece := list(islice(items, _CHUNK)):
            file.write(separator + ",\n".join(piece))
            separator = ",\n"
        file.write(f"\n{tail}\n")
