"""Where the tests find the checkout, the real photos beside it, and what they start."""

from __future__ import annotations

from pathlib import Path

SUPPORT = Path(__file__).resolve().parent
DRIVERS = SUPPORT.parent / "drivers"
"""Programs that tests start as processes of their own."""
ROOT = SUPPORT.parents[1]
REAL = ROOT.parent / "shared" / "data"
"""Real photos and timing logs; not part of the project, so tests skip where they do not lie."""
RECORDED = SUPPORT / "recorded"
