"""Label Studio's brush format: masks to bytes and back."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from omnicost.coco.sections import MOST_PIXELS

# The brush format is @thi.ng/rle-pack's over the RGBA bytes of the picture, row by row: 32 bits of
# length, 5 of word size less one, 4 x 4 of the bits less one that a run length may take; then per
# run a 1, two bits that say which of the four, the length less one, and the word.
# Source: HumanSignal/label-studio-converter @0098e781, label_studio_converter/brush.py.
WORD_BITS: Final = 8
LENGTH_BITS: Final = (3, 4, 8, 16)
CHANNELS: Final = 4


def brush_rle(mask: np.ndarray) -> list[int]:
    """A mask in Label Studio's brush format.

    Args:
        mask: ``(H, W) bool``, at least one pixel in size.

    Returns:
        Bytes; they decode to the ``H * W * 4`` RGBA values, 255 on the mask and 0 off it.
    """
    flat = np.asarray(mask, bool).ravel()
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    lengths, words = _split(np.diff(starts, append=flat.size) * CHANNELS, flat[starts] * 255)
    places = np.searchsorted([2**bits for bits in LENGTH_BITS], lengths)
    sizes = np.array(LENGTH_BITS)[places]
    codes = ((0b100 + places) << sizes | (lengths - 1)) << WORD_BITS | words
    head = [flat.size * CHANNELS, WORD_BITS - 1, *(bits - 1 for bits in LENGTH_BITS)]
    values = np.concatenate([head, codes])
    widths = np.concatenate([[32, 5, 4, 4, 4, 4], 3 + sizes + WORD_BITS])
    return np.packbits(_bits(values, widths)).tolist()


def _split(lengths: np.ndarray, words: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Runs cut into pieces that the longest length code can hold."""
    longest = 2 ** LENGTH_BITS[-1]
    pieces = -(-lengths // longest)
    cut = np.full(pieces.sum(), longest)
    cut[np.cumsum(pieces) - 1] = lengths - (pieces - 1) * longest
    return cut, np.repeat(words, pieces)


def _bits(values: np.ndarray, widths: np.ndarray) -> np.ndarray:
    """Numbers written one after the other, each in so many bits, highest first."""
    ends = np.cumsum(widths)
    places = np.repeat(ends, widths) - 1 - np.arange(ends[-1])
    return (np.repeat(values, widths) >> places & 1).astype(np.uint8)


def brush_mask(rle: Any, height: int, width: int) -> np.ndarray:
    """The mask of bytes in Label Studio's brush format.

    Args:
        rle: a list of bytes, as exports have it.
        height: of the picture.
        width: of the picture.

    Returns:
        ``(H, W) bool``: where the brush left colour.

    Raises:
        ValueError: if it is damaged or of a picture of another size.
    """
    if not isinstance(rle, list) or any(
        type(each) is not int or not 0 <= each < 256 for each in rle
    ):
        raise ValueError("a brush that is no list of bytes")
    if not 0 < height * width <= MOST_PIXELS:
        raise ValueError(f"a brush on a picture of {width} x {height} pixels")
    bits = "".join(f"{each:08b}" for each in rle)
    total, word = int(bits[:32] or "0", 2), int(bits[32:37] or "0", 2) + 1
    if total != height * width * CHANNELS:
        raise ValueError(f"a brush on another picture than {width} x {height} pixels")
    sizes = [int(bits[start : start + 4] or "0", 2) + 1 for start in (37, 41, 45, 49)]
    values = np.zeros(total, np.uint8)
    place, done = 53, 0
    try:
        while done < total:
            repeats, size = bits[place] == "1", sizes[int(bits[place + 1 : place + 3], 2)]
            place += 3
            length = int(bits[place : place + size], 2) + 1
            place += size
            words = 1 if repeats else length
            if place + words * word > len(bits) or done + length > total:
                raise ValueError("a brush that is cut short")
            ends = range(place, place + words * word, word)
            said = [int(bits[start : start + word], 2) for start in ends]
            values[done : done + length] = np.array(said, np.int64).astype(np.uint8)
            place, done = place + words * word, done + length
    except IndexError:
        raise ValueError("a brush that is cut short") from None
    return values.reshape(height, width, CHANNELS)[..., CHANNELS - 1] > 0
