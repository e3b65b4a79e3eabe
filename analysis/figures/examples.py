"""Examples of masks kept as one file: pictures, labels, prompts, masks before and after.

Recording needs a sweep's store and the sweep's packages (``python -m analysis.figures.record``);
reading and drawing need neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from omnicost.plot.masks import Drawn, MaskExample

_TEXTS: Final = ("name", "annotation", "class_names", "tags")
_DRAWN: Final = ("truth", "before", "after")
_ARRAYS: Final = (
    "image", "points", "boxes", "label_ids", "sam_boxes", "detector_boxes", "prompt_boxes",
)  # fmt: skip


def save_examples(path: Path, examples: Sequence[MaskExample]) -> None:
    """Write the examples as one compressed file of arrays, masks as bits."""
    arrays: dict[str, Any] = {"count": np.array(len(examples))}
    for number, example in enumerate(examples):
        for name in _TEXTS:
            value = getattr(example, name)
            arrays[f"{number}/{name}"] = np.array(
                list(value) if isinstance(value, tuple) else value, str
            )
        for name in _ARRAYS:
            if (value := getattr(example, name)) is not None:
                arrays[f"{number}/{name}"] = value
        for name in _DRAWN:
            if (drawn := getattr(example, name)) is not None:
                arrays[f"{number}/{name}/ids"] = drawn.annotation_ids
                arrays[f"{number}/{name}/classes"] = drawn.class_indices
                arrays[f"{number}/{name}/bits"] = np.packbits(drawn.masks, axis=2)
    np.savez_compressed(path, **arrays)


def load_examples(path: Path) -> list[MaskExample]:
    """The examples of a file; pickled objects are refused."""
    with np.load(path, allow_pickle=False) as file:
        arrays = dict(file)
    return [_example(arrays, f"{number}/") for number in range(int(arrays["count"]))]


def _example(arrays: dict[str, np.ndarray], under: str) -> MaskExample:
    own = {
        name.removeprefix(under): value for name, value in arrays.items() if name.startswith(under)
    }
    width = own["image"].shape[1]
    parts: dict[str, Any] = {name: own[name] for name in _ARRAYS if name in own}
    for name in _DRAWN:
        if f"{name}/ids" in own:
            masks = np.unpackbits(own[f"{name}/bits"], axis=2, count=width).astype(bool)
            parts[name] = Drawn(own[f"{name}/ids"], own[f"{name}/classes"], masks)
    return MaskExample(
        name=str(own["name"]),
        annotation=str(own["annotation"]),
        class_names=tuple(own["class_names"].tolist()),
        tags=tuple(own["tags"].tolist()),
        **parts,
    )
