"""COCO-format files as columns: any size, every fault named.

The base of statistics and of data sets.
"""

from omnicost.coco.decode import load_json
from omnicost.coco.faults import Fault, Faults
from omnicost.coco.file import CocoFile, parse_coco, read_coco
from omnicost.coco.statistics import CocoStatistics, count

__all__ = [
    "CocoFile",
    "CocoStatistics",
    "Fault",
    "Faults",
    "count",
    "load_json",
    "parse_coco",
    "read_coco",
]
