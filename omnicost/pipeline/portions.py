"""Portions of a large data set, each embedded and detected by a stage of its own.

As many devices as there are work on them beside each other, and teachers start on those that hold
their labelled images. How many there are follows from the number of images alone: no key depends
on the devices at hand.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

# Of a portion: COCO's eight take ViT-H 40 minutes each on an A10, beside which starting is nothing.
MOST_IMAGES: Final = 1 << 14


class Portion(NamedTuple):
    """One of several portions of as many images, give or take one."""

    number: int = 0
    total: int = 1

    def of(self, images: int) -> slice:
        """Its places among that many images."""
        start, stop = (images * end // self.total for end in (self.number, self.number + 1))
        return slice(start, stop)

    def __str__(self) -> str:
        return "" if self.total == 1 else f" {self.number + 1}/{self.total}"


WHOLE: Final = Portion()


def portions_of(images: int | None) -> tuple[Portion, ...]:
    """The portions of a data set; one if nobody knows how large it is."""
    total = max(1, math.ceil((images or 0) / MOST_IMAGES))
    return tuple(Portion(number, total) for number in range(total))
