"""GroundingDINO, in transformers' or the authors' format."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from omnicost.models.detectors.detector import Detector, read_detector
from omnicost.models.detectors.official_grounding_dino import from_official
from omnicost.models.loading import read_pth, read_tokenizer, resolve

BERT: Final = "google-bert/bert-base-uncased"  # what an official `.pth` was trained with


def load(path: Path) -> Detector:
    """GroundingDINO from a folder or an official ``.pth``."""
    from transformers import GroundingDinoForObjectDetection, GroundingDinoImageProcessor

    if not path.is_file():
        return read_detector(GroundingDinoForObjectDetection, path)
    model = from_official(read_pth(path, "detector"), path)
    tokenizer = read_tokenizer(_vocabulary_of(path), "detector")
    return Detector(model, tokenizer, GroundingDinoImageProcessor())


def _vocabulary_of(path: Path) -> Path:
    beside = path.parent
    if any((beside / name).exists() for name in ("tokenizer.json", "vocab.txt")):
        return beside
    return resolve(BERT, "detector")
