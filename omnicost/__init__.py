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

__version__ = "0.3.1"

if TYPE_CHECKING:
    from omnicost.annotation import AnnotationType, Policy
    from omnicost.coco import CocoFile, read_coco
    from omnicost.cost import (
        DatasetStats,
        LabellingTimes,
        dataset_stats,
        price,
        seconds_per_image,
        stats_of_file,
        type_seconds,
    )
    from omnicost.errors import InputError, OmnicostError
    from omnicost.results import Row, append_row, paper_rows, read_rows, recorded_table

_HOME = {
    "AnnotationType": "annotation",
    "CocoFile": "coco",
    "DatasetStats": "cost",
    "InputError": "errors",
    "LabellingTimes": "cost",
    "OmnicostError": "errors",
    "Policy": "annotation",
    "Row": "results",
    "append_row": "results",
    "dataset_stats": "cost",
    "paper_rows": "results",
    "price": "cost",
    "read_coco": "coco",
    "read_rows": "results",
    "recorded_table": "results",
    "seconds_per_image": "cost",
    "stats_of_file": "cost",
    "type_seconds": "cost",
}

__all__ = [
    "AnnotationType",
    "CocoFile",
    "DatasetStats",
    "InputError",
    "LabellingTimes",
    "OmnicostError",
    "Policy",
    "Row",
    "append_row",
    "dataset_stats",
    "paper_rows",
    "price",
    "read_coco",
    "read_rows",
    "recorded_table",
    "seconds_per_image",
    "stats_of_file",
    "type_seconds",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'omnicost' has no attribute {name!r}")
    value = getattr(import_module(f"omnicost.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
