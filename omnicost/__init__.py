"""What to pay annotators for: measures, prices and plans weak labels for instance segmentation.

A tour::

    from omnicost import AnnotationType, Policy, dataset_stats, paper_rows, seconds_per_image

    coco = dataset_stats("coco")                             # images, K, c, n
    seconds_per_image(AnnotationType.MASK, coco)             # 684.8, as in the paper's Table 1
    policy = Policy.parse("mask=0.1,point=0.9")
    seconds_per_image(policy, coco)                          # 148.3
    price([policy], coco)                                    # hours and saving, with intervals
    paper_rows("coco")                                       # Table 2: AP of 13 policies

Your own project: `stats_of_file` counts K, c and n of a COCO-format file, and
`LabellingTimes.from_yaml` reads labelling times, which `omnicost calibrate` measures. Public names
load on first use, so that importing the package stays cheap.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.3.2"

if TYPE_CHECKING:  # by `as` they are public to type checkers, which follow no dictionary
    from omnicost.annotation import AnnotationType as AnnotationType
    from omnicost.annotation import Policy as Policy
    from omnicost.coco import CocoFile as CocoFile
    from omnicost.coco import read_coco as read_coco
    from omnicost.cost import DatasetStats as DatasetStats
    from omnicost.cost import LabellingTimes as LabellingTimes
    from omnicost.cost import dataset_stats as dataset_stats
    from omnicost.cost import price as price
    from omnicost.cost import seconds_per_image as seconds_per_image
    from omnicost.cost import stats_of_file as stats_of_file
    from omnicost.cost import type_seconds as type_seconds
    from omnicost.errors import InputError as InputError
    from omnicost.errors import OmnicostError as OmnicostError
    from omnicost.results import Row as Row
    from omnicost.results import append_row as append_row
    from omnicost.results import paper_rows as paper_rows
    from omnicost.results import read_rows as read_rows
    from omnicost.results import recorded_table as recorded_table

_NAMES = {  # by module
    "annotation": ["AnnotationType", "Policy"],
    "coco": ["CocoFile", "read_coco"],
    "cost": [
        "DatasetStats",
        "LabellingTimes",
        "dataset_stats",
        "price",
        "seconds_per_image",
        "stats_of_file",
        "type_seconds",
    ],
    "errors": ["InputError", "OmnicostError"],
    "results": ["Row", "append_row", "paper_rows", "read_rows", "recorded_table"],
}
_HOME = {name: module for module, names in _NAMES.items() for name in names}

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'omnicost' has no attribute {name!r}")
    value = getattr(import_module(f"omnicost.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
