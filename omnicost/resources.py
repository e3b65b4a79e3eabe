"""Files that travel with the package: recorded tables and experiment cards."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parent


def shipped(relative: str) -> Path:
    """Path of a shipped file or folder, such as ``results/paper`` or ``sweeps``.

    A wheel carries them inside the package; a checkout keeps them at its top level.
    """
    packaged = _PACKAGE / "_shipped" / relative
    return packaged if packaged.exists() else _PACKAGE.parent / relative
