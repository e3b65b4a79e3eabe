"""GroundingDINO's proposals: on one image, of a whole split, and those that become prompts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from omnicost.errors import InputError
from omnicost.pipeline.config import SelectConfig

DETECTIONS = "detections.parquet"


class Proposals(NamedTuple):
    """N proposals on one image."""

    boxes: np.ndarray  # (N, 4) float32, x0 y0 x1 y1
    scores: np.ndarray  # (N,) float32
    class_indices: np.ndarray  # (N,) int64

    def take(self, rows: np.ndarray) -> Proposals:
        """Some of the proposals."""
        return Proposals(self.boxes[rows], self.scores[rows], self.class_indices[rows])


def select(proposals: Proposals, config: SelectConfig) -> Proposals:
    """Those that become prompts: confident enough and not suppressed, best first."""
    import torch
    from torchvision.ops import batched_nms

    confident = proposals.take(np.flatnonzero(proposals.scores >= config.threshold))
    together = np.zeros_like(confident.class_indices)
    groups = confident.class_indices if config.nms == "class" else together
    kept = batched_nms(
        torch.from_numpy(confident.boxes),
        torch.from_numpy(confident.scores),
        torch.from_numpy(groups),
        config.nms_iou,
    )
    return confident.take(kept.numpy())


class Detections:
    """The proposals of a split, by image id.

    Args:
        folders: of the detect step, one a portion.

    Raises:
        InputError: if there are none to read.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        import pyarrow as pa

        table = pa.concat_tables(map(_read, folders))
        image_ids = table["image_id"].to_numpy()
        order = np.argsort(image_ids, kind="stable")
        flat = table["box"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        self._image_ids = image_ids[order]
        self._rows = Proposals(
            np.asarray(flat, np.float32).reshape(-1, 4)[order],
            table["score"].to_numpy().astype(np.float32)[order],
            table["class_index"].to_numpy().astype(np.int64)[order],
        )

    def __len__(self) -> int:
        return len(self._image_ids)

    def of(self, image_id: int) -> Proposals:
        """The proposals on an image, in the order in which they were found."""
        first, end = np.searchsorted(self._image_ids, [image_id, image_id + 1])
        return Proposals(*(column[first:end] for column in self._rows))


def _read(folder: Path) -> Any:
    """An Arrow table of proposals."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_table(folder / DETECTIONS)
    except (OSError, pa.ArrowInvalid):
        raise InputError(
            folder / DETECTIONS, "no detections can be read", "run the detect step again"
        ) from None
