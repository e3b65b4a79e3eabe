"""Cards that name SAM 2.1, SAM-HQ or MM-GroundingDINO: from photos to rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from omnicost.engine.execute import execute
from omnicost.engine.store import Store
from omnicost.models.teachers.size import size_of
from omnicost.results import Row
from omnicost.sweep.launch import Request, prepare
from omnicost.sweep.priors import PAPER_SCALE, TINY_SCALE, VIT_H, scale_of
from omnicost.sweep.rows import row_of

pytest.importorskip("torch")
from student_world import make_backbone, tiny_values
from teacher_world import (
    detector_folder,
    text_folder,
    tiny_sam,
    tiny_sam2,
    tiny_sam_hq,
    write_dataset,
)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Folders of small random models of the usual kinds, and a data set."""
    root = tmp_path_factory.mktemp("small")
    tiny_sam().save_pretrained(root / "sam")
    write_dataset(root / "data", images=6)
    return {
        "data": str(root / "data"),
        "sam": str(root / "sam"),
        "detector": detector_folder(root / "detector"),
        "text": text_folder(root / "text"),
        "backbone": make_backbone(root / "backbone"),
    }


def rows_of_card(small: dict[str, str], root: Path, **models: str) -> list[Row]:
    """Run a card of two cells to their rows: half masks, the rest points or only classes."""
    named = {role: small[role] for role in ("sam", "detector", "text", "backbone")}
    card: dict[str, Any] = {
        "name": "other",
        "datasets": [{"name": small["data"], "train": "all", "val": "all"}],
        "grid": {"mask_shares": [0.5], "types": ["class", "point"]},
        "recipe": {
            "models": {**named, **models},
            "detect": {"keep_above": 0.0, "threshold": 0.0},
            "refine": {"tau_c": 0.0},
            "teacher": {"steps": 2, "batch_images": 2, "points": 32, "late_step": 1},
            "student": tiny_values(steps=2, batch_images=2),
        },
    }
    (root / "card.yaml").write_text(yaml.safe_dump(card))
    prepared = prepare(Request(root / "card.yaml"), root / "cache")
    prepared.sources.require()
    store = Store(root / "store")
    for stage in prepared.graph.stages.values():
        execute(store, stage)
    return [row_of(plan, store, prepared.sources) for plan in prepared.graph.plans]


def check(rows: list[Row]) -> None:
    """Every cell ended in a student's AP and in a score of its teacher's masks."""
    assert {str(row.policy) for row in rows} == {"mask=0.5,class=0.5", "mask=0.5,point=0.5"}
    for row in rows:
        assert row.ap is not None
        assert row.teacher_f1 is not None
    assert len({row.config_hash for row in rows}) == 1


def test_card_with_sam2_goes_from_photos_to_rows(small: dict[str, str], tmp_path: Path) -> None:
    """`models.sam: <folder of a SAM 2.1>` is all that a card says."""
    tiny_sam2().save_pretrained(tmp_path / "sam2")
    check(rows_of_card(small, tmp_path, sam=str(tmp_path / "sam2")))


def test_card_with_sam_hq_goes_from_photos_to_rows(small: dict[str, str], tmp_path: Path) -> None:
    """`models.sam: <folder of a SAM-HQ>` is all that a card says."""
    tiny_sam_hq().save_pretrained(tmp_path / "sam_hq")
    check(rows_of_card(small, tmp_path, sam=str(tmp_path / "sam_hq")))


def test_card_with_mm_grounding_dino_goes_from_photos_to_rows(
    small: dict[str, str], tmp_path: Path
) -> None:
    """`models.detector: <folder of an MM-GroundingDINO>` is all that a card says."""
    folder = detector_folder(tmp_path / "mm", family="MMGroundingDino")
    check(rows_of_card(small, tmp_path, detector=folder))


def test_sam2_and_sam_hq_are_priced_by_their_config(small: dict[str, str], tmp_path: Path) -> None:
    """What a dry run says of time, memory and cache follows the model; a name says nothing."""
    tiny_sam2().save_pretrained(tmp_path / "sam2")
    tiny_sam_hq().save_pretrained(tmp_path / "hq")
    plain, sam2, hq = (
        scale_of(str(each)) for each in (small["sam"], tmp_path / "sam2", tmp_path / "hq")
    )
    numbers = {
        "plain": 32 * 8 * 8,
        "sam2": 32 * 8 * 8 + 8 * 16 * 16 + 4 * 32 * 32,
        "hq": 2 * 32 * 8 * 8,
    }
    for prior, name in ((plain, "plain"), (sam2, "sam2"), (hq, "hq")):
        assert prior["embed"].artefact_mb_image == pytest.approx(2e-6 * numbers[name])
        assert prior["embed"].seconds < 1e-3 * PAPER_SCALE["embed"].seconds
        assert 0.4 < prior["embed"].memory_fixed < 0.5
        assert prior["student"] == PAPER_SCALE["student"]
    assert hq["teacher"].seconds > plain["teacher"].seconds
    assert scale_of("facebook/sam2.1-hiera-imaginary") == PAPER_SCALE
    assert scale_of("tiny") == TINY_SCALE


def test_priors_are_those_of_the_huge_sam(tmp_path: Path) -> None:
    """The paper's scale is that of facebook/sam-vit-huge, whose sizes stand beside it."""
    from transformers import SamConfig

    huge = {
        "hidden_size": 1280,
        "num_hidden_layers": 32,
        "num_attention_heads": 16,
        "global_attn_indexes": [7, 15, 23, 31],
        "mlp_dim": 5120,
    }
    SamConfig(vision_config=huge).save_pretrained(tmp_path)
    assert size_of(str(tmp_path)) == pytest.approx(VIT_H, rel=0.005)
    embed, paper = scale_of(str(tmp_path))["embed"], PAPER_SCALE["embed"]
    assert tuple(embed) == pytest.approx(tuple(paper), rel=0.01)
