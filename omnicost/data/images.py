"""Pictures from disk to RGB, whatever mode, depth and orientation they were saved in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageOps

from omnicost.coco.sections import MOST_PIXELS
from omnicost.errors import InputError, MissingError
from omnicost.files import require_regular

EXIF_ORIENTATION: Final = 0x0112
_END_BYTES: Final = 2**16  # cameras put things after the end of a JPEG
TURNED: Final = (5, 6, 7, 8)  # orientations that swap height and width


def open_picture(path: Path, where: str | None = None) -> Image.Image:
    """A picture's header; a FIFO, which would wait without end, or a device is refused.

    Raises:
        InputError: if it is no regular file, or has more than `MOST_PIXELS`.
        OSError, ValueError, SyntaxError, DecompressionBombError: if it is no picture.
    """
    require_regular(path)
    picture = Image.open(path)
    if picture.width * picture.height > MOST_PIXELS:
        problem = f"has {picture.width} x {picture.height} pixels"
        picture.close()
        remedy = f"cut it into tiles or shrink it: at most {MOST_PIXELS:,} pixels"
        raise InputError(where or path, problem, remedy)
    return picture


def is_cut_off(path: Path) -> bool:
    """Whether a JPEG or a PNG lacks its end, so that part of it is gone; decode it to be sure."""
    with path.open("rb") as file:
        start = file.read(4)
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _END_BYTES))
        end = file.read()
    if start.startswith(b"\xff\xd8"):
        return b"\xff\xd9" not in end
    return start == b"\x89PNG" and b"IEND" not in end


def read_image(path: Path, size: tuple[int, int], image_id: int) -> np.ndarray:
    """A picture as ``(H, W, 3) uint8`` RGB.

    The EXIF orientation is applied, unless the size that the annotations record fits only the
    pixels as stored. 16-bit pictures keep their upper 8 bits; alpha is dropped.

    Args:
        path: the picture.
        size: height and width that the annotations record.
        image_id: named in the error.

    Raises:
        MissingError: if there is no such file.
        InputError: if it is damaged or of another size.
    """
    where = f"{path} (image id {image_id})"
    with _opened(path, where) as stored:
        found = (stored.height, stored.width)
        if found in (size, size[::-1]):  # else no pixel is decoded
            turned = ImageOps.exif_transpose(stored)
            for picture in (turned, stored):
                if (picture.height, picture.width) == size:
                    return _rgb(picture)
            found = (turned.height, turned.width)
    problem = f"is {found[1]} x {found[0]} pixels, its annotations say {size[1]} x {size[0]}"
    remedy = "replace the picture, or correct width and height in the annotations"
    raise InputError(where, problem, remedy)


def read_photo(path: Path) -> np.ndarray:
    """A picture without annotations as ``(H, W, 3) uint8`` RGB, EXIF orientation applied.

    Raises:
        MissingError: if there is no such file.
        InputError: if it is damaged, or has more than `MOST_PIXELS`.
    """
    with _opened(path, str(path)) as stored:
        return _rgb(ImageOps.exif_transpose(stored))


@contextmanager
def _opened(path: Path, where: str) -> Iterator[Image.Image]:
    """A picture, not yet decoded; whatever is wrong with it becomes one line."""
    try:
        with open_picture(path, where) as stored:
            yield stored
    except FileNotFoundError:
        remedy = "unpack the pictures there; see `omnicost data check`"
        raise MissingError(where, "no such picture", remedy) from None
    except (OSError, ValueError, SyntaxError, MemoryError, Image.DecompressionBombError) as fault:
        reason = " ".join(str(fault).split()) or type(fault).__name__
        raise InputError(where, f"damaged picture ({reason})", "download it again") from None


def _rgb(picture: Image.Image) -> np.ndarray:
    if picture.mode.startswith("I"):  # 16 bits a pixel; Pillow's own conversion would clip at 255
        grey = np.clip(np.asarray(picture).astype(np.int64), 0, 65535) >> 8
        return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)
    return np.array(picture.convert("RGB"))
