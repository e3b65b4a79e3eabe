"""On-disk layouts to one `Dataset`; splits; weak labels; the tiny world."""

from importlib.util import find_spec

from omnicost.errors import MissingError

for _package in ("PIL", "pycocotools"):
    if find_spec(_package) is None:
        raise MissingError(
            "omnicost.data", f"needs the package {_package}", "pip install 'omnicost[data]'"
        )

from omnicost.data.columns import SizeBounds  # noqa: E402
from omnicost.data.dataset import Dataset, Instances  # noqa: E402
from omnicost.data.opening import open_dataset  # noqa: E402
from omnicost.data.weak import AnnotatorNoise, WeakLabel, weak_label  # noqa: E402

__all__ = [
    "AnnotatorNoise",
    "Dataset",
    "Instances",
    "SizeBounds",
    "WeakLabel",
    "open_dataset",
    "weak_label",
]
