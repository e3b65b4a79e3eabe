"""What labels cost: labelling times and image statistics to seconds, hours and money.

`times` holds what one annotation takes, `stats` what an average image holds, `seconds` multiplies
the two, `overheads` adds review, rework and idle time, and `spread` says how far the product may be
off; `price` puts them together for a whole project.
"""

from omnicost.cost.overheads import Overheads, OverheadsByType, overhead_factors
from omnicost.cost.price import Price, price
from omnicost.cost.seconds import (
    ORDER,
    SECONDS_PER_HOUR,
    arithmetic,
    hours,
    saving,
    seconds_paid_again,
    seconds_per_image,
    type_seconds,
)
from omnicost.cost.spread import (
    Interval,
    SpendDraws,
    draw_spend,
    draw_type_seconds,
    image_variance,
    interval,
    with_overheads,
)
from omnicost.cost.stats import (
    BUILT_IN,
    DatasetStats,
    dataset_stats,
    stats_of_counts,
    stats_of_file,
)
from omnicost.cost.times import ALTERNATIVES, CONSTANTS, LabellingTime, LabellingTimes

__all__ = [
    "ALTERNATIVES",
    "BUILT_IN",
    "CONSTANTS",
    "ORDER",
    "SECONDS_PER_HOUR",
    "DatasetStats",
    "Interval",
    "LabellingTime",
    "LabellingTimes",
    "Overheads",
    "OverheadsByType",
    "Price",
    "SpendDraws",
    "arithmetic",
    "dataset_stats",
    "draw_spend",
    "draw_type_seconds",
    "hours",
    "image_variance",
    "interval",
    "overhead_factors",
    "price",
    "saving",
    "seconds_paid_again",
    "seconds_per_image",
    "stats_of_counts",
    "stats_of_file",
    "type_seconds",
    "with_overheads",
]
