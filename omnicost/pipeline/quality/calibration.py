"""What a pseudo-mask's score is worth: the IoU to expect of it, learnt where both are known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from omnicost.errors import InputError

CALIBRATION: Final = "calibration.json"
LEAST_PAIRS: Final = 20  # with fewer the score itself is believed


class ScoreCalibration(NamedTuple):
    """An increasing line through k knots; scores beyond the last are worth what it is."""

    scores: tuple[float, ...]  # ascending
    ious: tuple[float, ...]  # in [0, 1], never falling

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        """``(R,) float32`` expected IoU of masks with those scores."""
        return np.interp(scores, self.scores, self.ious).astype(np.float32)


AS_RATED: Final = ScoreCalibration((0.0, 1.0), (0.0, 1.0))


def fit(scores: np.ndarray, ious: np.ndarray) -> ScoreCalibration:
    """Isotonic regression of ``(R,)`` IoUs on scores, drawn through the middles of its steps.

    Source: Zadrozny and Elkan, KDD 2002, of probabilities.
    """
    if len(scores) < LEAST_PAIRS:
        return AS_RATED
    from scipy.optimize import isotonic_regression

    # One point for equal scores: apart, the regression would leave them in order of IoU.
    unique, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    found = isotonic_regression(np.bincount(place, ious) / counts, weights=counts)
    steps = list(zip(found.blocks[:-1], found.blocks[1:], strict=True))
    middles = [
        float(np.average(unique[first:end], weights=counts[first:end])) for first, end in steps
    ]
    return ScoreCalibration(tuple(middles), tuple(float(found.x[first]) for first, _ in steps))


def read_calibration(folder: Path) -> ScoreCalibration:
    """The calibration that the calibrate step wrote.

    Raises:
        InputError: if there is none.
    """
    told = read_figures(folder)
    return ScoreCalibration(*(tuple(each) for each in told["calibration"]))


def read_figures(folder: Path) -> dict[str, Any]:
    """All that the calibrate step wrote.

    Raises:
        InputError: if there is nothing.
    """
    path = folder / CALIBRATION
    try:
        told: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError):
        raise InputError(path, "no calibration can be read", "run its sweep again") from None
    return told
