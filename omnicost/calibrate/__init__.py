"""Logs of labelling tools to labelling times: reading, dropping idle rows, estimating."""

from omnicost.calibrate.estimate import Calibration, Estimate, calibrate
from omnicost.calibrate.read import read_timings
from omnicost.calibrate.timings import ReadOptions, Timings, concatenate

__all__ = [
    "Calibration",
    "Estimate",
    "ReadOptions",
    "Timings",
    "calibrate",
    "concatenate",
    "read_timings",
]
