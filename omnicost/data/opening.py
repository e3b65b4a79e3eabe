"""`open_dataset`: a name or a folder to a `Dataset`, converted once."""

from __future__ import annotations

from pathlib import Path

from omnicost.annotation import AnnotationType
from omnicost.data import columns as columns_module
from omnicost.data.columns import COLUMNS_VERSION
from omnicost.data.dataset import Dataset
from omnicost.data.readers.layouts import Source, find
from omnicost.errors import InputError, MissingError
from omnicost.files import write_folder
from omnicost.progress import Progress, silent
from omnicost.published import PUBLISHED

# Columns of given labels hold positions among the types: another list, another cache.
TYPES = "".join(each[0] for each in AnnotationType)
TINY = "tiny-"  # how the names of the drawn data sets begin


def open_dataset(
    name_or_path: str | Path,
    split: str,
    root: str | Path | None = None,
    cache: str | Path | None = None,
    progress: Progress = silent,
) -> Dataset:
    """A split of a data set.

    Args:
        name_or_path: a folder or COCO-format file; or any name, such as `coco`, of the folder or
            file at `root`; or `tiny-coco`, `tiny-ade20k`, `tiny-cityscapes`, which are drawn into
            `cache` once.
        split: `train` or `val`, or what the file is called; `all` of a set with one file;
            `train-800` for the first 800 pictures of a tiny set's `train`.
        root: see above.
        cache: folder for converted annotations, keyed by their content, so that the next opening
            takes no time. Defaults to `root/cache` for the tiny sets; none otherwise: nothing is
            then written anywhere.
        progress: called with (done, total) while annotations are converted.

    Raises:
        MissingError: if there is no such data set; says what to put where.
        InputError: if it cannot be read.
    """
    name = str(name_or_path)
    if name.startswith(TINY) and not Path(name).exists():
        if cache is None:
            if root is None:
                problem = "is drawn on first use, but no folder is named"
                raise InputError(name, problem, "give root or cache")
            cache = Path(root) / "cache"
        source = find(_tiny_folder(name, split, Path(cache), progress), split)._replace(name=name)
    elif root is not None:
        source = find(Path(root).expanduser(), split)._replace(name=name)
    elif name in PUBLISHED and not Path(name).exists():
        raise MissingError(name, "not downloaded by omnicost", "name its unpacked folder (`data`)")
    else:
        source = find(Path(name_or_path).expanduser(), split)
    return _open(source, Path(cache) if cache is not None else None, progress)


def _tiny_folder(name: str, split: str, cache: Path, progress: Progress) -> Path:
    from omnicost.data.tiny.disk import pictures_of, write_coco
    from omnicost.data.tiny.world import SPECS

    if name not in SPECS:
        raise MissingError(name, "no such tiny data set", f"use {', '.join(SPECS)}")
    spec = SPECS[name]
    splits = {split: pictures_of(spec, split)}
    folder = cache / f"{name}-v{spec.version}-{split}"
    if not folder.is_dir():
        write_folder(folder, lambda scratch: write_coco(spec, scratch, splits, progress))
    return folder


def _open(source: Source, cache: Path | None, progress: Progress) -> Dataset:
    if cache is None:
        return Dataset(source.name, source.split, *source.read(progress), source.picture_folder)
    folder = cache / "columns" / f"{source.key()[:32]}-{COLUMNS_VERSION}-{TYPES}"
    if not folder.is_dir():
        columns_module.save(folder, *source.read(progress))
    header, columns, digest = columns_module.load(folder)
    return Dataset(
        source.name, source.split, header, columns, source.picture_folder, folder, digest
    )
