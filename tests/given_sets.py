"""Sets with given labels on disk: what annotators would have handed in."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from simulated_labels import simulate_labels

from omnicost.annotation import Policy
from omnicost.data import Dataset


def write_given(folder: Path, dataset: Dataset, policy: Policy, seed: int = 0) -> Path:
    """A folder of pictures, and the labels that a simulation would draw for them."""
    (folder / "images").mkdir(parents=True)
    for index in range(len(dataset)):
        shutil.copyfile(dataset.path(index), folder / "images" / str(dataset.file_names[index]))
    content = simulate_labels(dataset, policy, seed).to_coco()
    (folder / "instances.json").write_text(json.dumps(content))
    return folder
