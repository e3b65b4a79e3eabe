"""Pictures from disk to RGB, whatever mode, depth and orientation they were saved in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageOps

from omnicost.errors import InputError, MissingError

EXIF_ORIENTATION: Final = 0x0112
TURNED: Final = (5, 6, 7, 8)  # orientations that swap height and width


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
        picture = _oriented(stored, size)
        found = (picture.height, picture.width)
        if found != size:
            raise InputError(
                where,
                f"is {found[1]} x {found[0]} pixels, its annotations say {size[1]} x {size[0]}",
                "replace the picture, or correct width and height in the annotations",
            )
        return _rgb(picture)


def read_photo(path: Path) -> np.ndarray:
    """A picture without annotations as ``(H, W, 3) uint8`` RGB, EXIF orientation applied.

    Raises:
        MissingError: if there is no such file.
        InputError: if it is damaged.
    """
    with _opened(path, str(path)) as stored:
        return _rgb(ImageOps.exif_transpose(stored))


@contextmanager
def _opened(path: Path, where: str) -> Iterator[Image.Image]:
    """A picture whose pixels are in memory; whatever is wrong with it becomes one line."""
    try:
        with Image.open(path) as stored:
            stored.load()
            yield stored
    except FileNotFoundError:
        raise MissingError(
            where, "no such picture", "unpack the pictures there; see `omnicost data check`"
        ) from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as fault:
        reason = " ".join(str(fault).split()) or type(fault).__name__
        raise InputError(where, f"damaged picture ({reason})", "download it again") from None


def _oriented(stored: Image.Image, size: tuple[int, int]) -> Image.Image:
    turned = ImageOps.exif_transpose(stored)
    if (turned.height, turned.width) != size and (stored.height, stored.width) == size:
        return stored
    return turned


def _rgb(picture: Image.Image) -> np.ndarray:
    if picture.mode.startswith("I"):  # 16 bits a pixel; Pillow's own conversion would clip at 255
        grey = np.clip(np.asarray(picture).astype(np.int64), 0, 65535) >> 8
        return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)
    return np.array(picture.convert("RGB"))
