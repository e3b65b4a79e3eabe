"""Seeds that depend on what is drawn, never on the order of drawing."""

from __future__ import annotations

import hashlib
import json
import operator
from typing import Any

import numpy as np

SEED_BITS = 63  # fits a signed 64-bit integer, which every generator accepts


def derive_seed(*parts: object) -> int:
    """A seed from whatever identifies the draw, such as ``(seed, image_id, "point")``.

    Strings, integers (numpy's too), floats, booleans, None and nested sequences of them count by
    value and kind: ``1`` and ``"1"`` differ, ``1`` and ``np.int64(1)`` do not.

    Returns:
        An integer from 0 to 2**63 - 1, the same on every machine.

    Raises:
        TypeError: for a part of another kind.
    """
    text = json.dumps(parts, default=_plain, ensure_ascii=True, allow_nan=False)
    digest = hashlib.sha256(text.encode()).digest()
    return int.from_bytes(digest[:8], "big") >> (64 - SEED_BITS)


def generator(*parts: object) -> np.random.Generator:
    """A generator of its own for the draw that the parts identify."""
    return np.random.default_rng(derive_seed(*parts))


def _plain(part: Any) -> object:
    if isinstance(part, np.bool_):
        return bool(part)
    if isinstance(part, np.floating):
        return float(part)
    return operator.index(part)
