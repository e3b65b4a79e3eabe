"""A card of the real pipeline on small random models and eight pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from student_world import make_backbone
from teacher_world import detector_folder, text_folder, tiny_sam, write_dataset


def card_content(root: Path, teacher_steps: int, student: dict[str, Any]) -> dict[str, Any]:
    """The card's content; its models and data are written into the folder."""
    tiny_sam().save_pretrained(root / "sam")
    write_dataset(root / "data", images=8)
    return {
        "name": "small",
        "datasets": [{"name": str(root / "data"), "train": "all", "val": "all"}],
        "recipe": {
            "models": {
                "sam": str(root / "sam"),
                "detector": detector_folder(root / "detector"),
                "text": text_folder(root / "text"),
                "backbone": make_backbone(root / "backbone"),
            },
            "teacher": {"steps": teacher_steps, "batch_images": 2, "points": 32, "late_step": 1},
            "student": student,
        },
    }
