"""On-disk layouts to one `Dataset`; splits; weak labels; the tiny world."""

from omnicost.data.columns import SizeBounds
from omnicost.data.dataset import Dataset, Instances
from omnicost.data.opening import open_dataset
from omnicost.data.weak import AnnotatorNoise, WeakLabel, weak_label

__all__ = [
    "AnnotatorNoise",
    "Dataset",
    "Instances",
    "SizeBounds",
    "WeakLabel",
    "open_dataset",
    "weak_label",
]
