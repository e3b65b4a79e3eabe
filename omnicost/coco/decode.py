"""JSON to records: the usual file in pieces with msgspec, a damaged one whole with `json`.

msgspec leaves what is not asked for undecoded, so that a file of 10,000,000 polygons takes memory
for its columns only; it refuses NaN and says little about faults, which is what `json` is for.
"""

from __future__ import annotations

import contextlib
import gc
import json
import mmap
from collections.abc import Iterator, Sequence
from itertools import compress
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from omnicost.coco.records import MISSING
from omnicost.errors import InputError
from omnicost.files import read_bytes, require_regular

MAPPED_BYTES: Final = 256 * 1024**2  # larger files are mapped, so that their text need not be held
CHUNK: Final = 50_000  # records checked at a time
# Segmentations that are asked for before their pages, 64 kB around each, are given back.
_HELD: Final = 2_000
_NO_MASK: Final = (b"", b"null", b"[]", b"[[]]")
_BLANKS: Final = b" \n\r\t"
_HOLLOW: Final = b"[]" + _BLANKS  # what may be around the numbers of polygons
_KEYS: Final = ("id", "image_id", "category_id", "segmentation", "bbox", "area", "iscrowd")
Raw = msgspec.Raw


class Annotation(msgspec.Struct, gc=False):
    """The fields of an annotation that are read, its segmentation as text."""

    id: Any = MISSING
    image_id: Any = MISSING
    category_id: Any = MISSING
    bbox: Any = None
    area: Any = None
    iscrowd: Any = 0
    point: Any = None
    keypoints: Any = None
    segmentation: Raw = Raw()


class Sections(NamedTuple):
    """A COCO file decoded but for its annotations, which are texts of records."""

    images: Any
    annotations: list[Any]
    categories: Any
    info: Any
    content: bytes | mmap.mmap


class Duplicate(ValueError):
    """A key that occurs twice in one object, of which JSON readers keep the last in silence."""


def load_json(path: Path | str) -> Any:
    """The data of a JSON file.

    Raises:
        InputError: if it cannot be read, is not JSON, or an object has a key twice.
    """
    content = read_bytes(path)
    if not content.strip():
        raise InputError(path, "is empty", "give a JSON file")
    try:
        with _no_garbage_collection():
            return json.loads(content, object_pairs_hook=_object)
    except Duplicate as error:
        raise InputError(path, str(error), "keep one of the two") from None
    except (ValueError, RecursionError) as error:
        raise InputError(path, f"is not JSON ({error})", "export it again as JSON") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise Duplicate(f"the key {twice!r} occurs twice in one object")
    return made


@contextlib.contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """For making millions of small objects: collecting finds none and costs a third of the time."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def decode_sections(path: Path | str) -> Sections | None:
    """The sections of a file that is as it should be; None if `load_json` has to look at it."""
    content = _content(path)
    try:
        top = msgspec.json.decode(content, type=dict[str, Raw])
        if not _alone(content, top):
            return None
        return Sections(
            images=msgspec.json.decode(top["images"]),
            annotations=msgspec.json.decode(top["annotations"], type=list[Raw]),
            categories=msgspec.json.decode(top["categories"]),
            info=msgspec.json.decode(top["info"]) if "info" in top else None,
            content=content,
        )
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, KeyError):
        return None


def decode_annotations(raws: list[Raw]) -> list[Annotation] | None:
    """Records from their texts; None if one of them is not as it should be."""
    try:
        if _repeats(raws):
            return None
        decode = msgspec.json.Decoder(Annotation).decode
        return [decode(raw) for raw in raws]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def has_mask(segmentation: Any) -> bool:
    """Whether a segmentation, as text or as data, is one at all."""
    if isinstance(segmentation, Raw):
        text = bytes(segmentation)
        is_hollow = text.strip(_HOLLOW) in (b"", b"null")
        return not is_hollow or text.translate(None, _BLANKS) not in _NO_MASK
    return segmentation not in (None, [], [[]])


class Drawings(Sequence[Any]):
    """Segmentations as texts within a file, decoded when they are asked for.

    A mapped file's pages are given back from time to time, so that reading all does not hold all.
    """

    def __init__(self, raws: Sequence[Any], mapped: mmap.mmap) -> None:
        self._raws, self._mapped, self._asked = raws, mapped, 0

    def __len__(self) -> int:
        return len(self._raws)

    def __getitem__(self, row: Any) -> Any:
        self._asked += 1
        if self._asked % _HELD == 0:
            forget(self._mapped)
        return self._raws[row]

    def take(self, rows: np.ndarray) -> Drawings:
        """Those of the annotations that an ``(A,) bool`` says."""
        return Drawings(list(compress(self._raws, rows.tolist())), self._mapped)


def forget(content: bytes | mmap.mmap) -> None:
    """Give back the memory of a mapped file's pages; they are read again when needed."""
    if isinstance(content, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        content.madvise(mmap.MADV_DONTNEED)


def segmentation_of(raw: Any) -> Any:
    """The data of a segmentation.

    Raises:
        ValueError: if it is not JSON as it should be.
    """
    if not isinstance(raw, Raw):
        return raw
    text = bytes(raw)
    try:
        return msgspec.json.decode(text) if text else None
    except msgspec.MsgspecError:
        return json.loads(text)


def _content(path: Path | str) -> bytes | mmap.mmap:
    with contextlib.suppress(OSError, ValueError):
        require_regular(path)
        if Path(path).stat().st_size > MAPPED_BYTES:
            with Path(path).open("rb") as file:
                return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return read_bytes(path)


def _alone(content: bytes | mmap.mmap, top: dict[str, Raw]) -> bool:
    """Whether each key stands once in the outermost object: what is no value is keys and commas."""
    view = memoryview(content)
    spans = sorted((_offset(view, raw), memoryview(raw).nbytes) for raw in top.values())
    rest, end = [], 0
    for start, length in spans:
        rest.append(bytes(view[end:start])[:10_000])
        end = start + length
    rest.append(bytes(view[end:])[:10_000])
    return all(text.count(b'"') == 2 for text in rest[:-1]) and rest[-1].strip() == b"}"


def _offset(view: memoryview, raw: Raw) -> int:
    base = np.frombuffer(view, np.uint8).__array_interface__["data"][0]
    return int(np.frombuffer(raw, np.uint8).__array_interface__["data"][0] - base)


def _repeats(raws: list[Raw]) -> bool:
    """Whether a key may occur twice in a record: it occurs more often than there are records."""
    text = b"".join(raws)
    return any(text.count(b'"%s"' % key.encode()) > len(raws) for key in _KEYS)
