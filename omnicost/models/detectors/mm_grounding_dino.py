"""MM-GroundingDINO: OpenMMLab's retraining of GroundingDINO, on more data."""

from __future__ import annotations

from pathlib import Path

from omnicost.models.detectors.detector import Detector, read_detector


def load(path: Path) -> Detector:
    """MM-GroundingDINO from a folder."""
    from transformers import MMGroundingDinoForObjectDetection

    return read_detector(MMGroundingDinoForObjectDetection, path)
