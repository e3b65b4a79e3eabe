"""Pseudo-masks of the real pipeline in one pass: the bytes of those made alone, fewer encodings."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from omnicost.engine.execute import execute
from omnicost.engine.graph import Graph, Stage, build_graph
from omnicost.engine.passes import execute_pass, passes_of
from omnicost.engine.store import Store
from omnicost.sweep.cards.card import Card
from omnicost.sweep.sources import Sources
from omnicost.sweep.stages.cell_stages import planner

pytest.importorskip("torch")
from teacher_world import detector_folder, text_folder, tiny_sam, write_dataset

from omnicost.pipeline import embed
from omnicost.pipeline.pseudomask.rows import Annotator, Prompted

IMAGES, PART_IMAGES = 17, 8
BYTES_AN_IMAGE = 2 * 32 * 8 * 8  # of the small SAM's fp16 embedding


class World(NamedTuple):
    """Stages of a card whose cache holds a third of the images; a store with what they read."""

    graph: Graph
    filled: Path


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    root = tmp_path_factory.mktemp("world")
    tiny_sam().save_pretrained(root / "sam")
    write_dataset(root / "data", images=IMAGES)
    recipe = {
        "models": {
            "sam": str(root / "sam"),
            "detector": detector_folder(root / "detector"),
            "text": text_folder(root / "text"),
            "backbone": "tiny",
        },
        "embed": {"limit_gigabytes": 3.1 * BYTES_AN_IMAGE / 1e9},
        "detect": {"keep_above": 0.0, "threshold": 0.0},
        "refine": {"tau_c": 0.0},
        "teacher": {"steps": 2, "batch_images": 2, "points": 32, "late_step": 1},
        # Small blocks and parts, so that stages with unlike images would fall into unlike ones.
        "pseudomask": {"images_per_block": 3, "part_images": PART_IMAGES, "decode_prompts": 3},
    }
    card = Card.model_validate(
        {
            "name": "small",
            "datasets": [{"name": str(root / "data"), "train": "all", "val": "all"}],
            "grid": {
                "mask_shares": [0, 0.4],
                "policies": [{"mask": 0.4, "box": 0.3, "class": 0.3}],
            },
            "recipe": recipe,
            "measure": "teacher",
        }
    )
    sources = Sources(root / "cache")
    graph = build_graph(card.cells(), planner(card, sources))
    for stage in graph.stages.values():
        if stage.name in ("embed", "detect", "teacher"):
            execute(Store(root / "store"), stage)
    return World(graph, root / "store")


def store_of(world: World, folder: Path) -> Store:
    """A store with everything that pseudo-masks read."""
    return Store(shutil.copytree(world.filled, folder), create=False)


def masks_of(store: Store, stage: Stage) -> bytes:
    return (store.path(stage.key) / "pseudomasks.parquet").read_bytes()


def test_pass_gives_the_bytes_of_stages_made_alone(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tuned teachers' six stages, on three sets of images: each image is encoded once for all."""
    together, alone = (store_of(world, tmp_path / name) for name in ("together", "alone"))
    encoded: list[int] = []
    encode = embed.ImageEncoder.encode

    def counted(self: embed.ImageEncoder, pixels: object) -> np.ndarray:
        encoded.append(len(pixels))  # type: ignore[arg-type]
        return encode(self, pixels)  # type: ignore[arg-type]

    monkeypatch.setattr(embed.ImageEncoder, "encode", counted)
    passes = passes_of(world.graph.stages.values())
    assert sorted(len(each) for each in passes) == [4, 6]
    for each in passes:
        assert len(execute_pass(together, each)) == len(each)
    once = sum(encoded)
    assert once <= 2 * (IMAGES - 3)
    encoded.clear()
    for each in passes:
        for stage in each:
            execute(alone, stage)
            assert masks_of(together, stage) == masks_of(alone, stage), stage.label
    assert sum(encoded) > 2 * once


def test_what_is_decoded_together_is_the_same_in_any_pass(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stage's images meet the decoder in the same blocks beside other stages as alone.

    On large models other blocks give other last bits, which the small ones may not show.
    """
    blocks: list[tuple[str, ...]] = []
    draw = Annotator.draw

    def noted(self: Annotator, prompted: Sequence[Prompted], read: Any) -> Any:
        images = [each.image for each in prompted]
        blocks.append((str(self.job.annotation), str(self.job.images), str(images)))
        return draw(self, prompted, read)

    monkeypatch.setattr(Annotator, "draw", noted)
    stages = max(passes_of(world.graph.stages.values()), key=len)
    execute_pass(store_of(world, tmp_path / "together"), stages)
    together = sorted(blocks)
    blocks.clear()
    alone = store_of(world, tmp_path / "alone")
    for stage in stages:
        execute(alone, stage)
    assert together == sorted(blocks)
    assert len({images for _, images, _ in blocks}) == 3  # the sets of images do differ


def test_stage_alone_goes_on_from_a_broken_pass(world: World, tmp_path: Path) -> None:
    """Parts that a pass had drawn wait in each stage's own work folder."""
    store, plain = (store_of(world, tmp_path / name) for name in ("store", "plain"))
    stages = min(passes_of(world.graph.stages.values()), key=len)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "omnicost.pipeline.pseudomask.generate.join_parts", None
        )  # breaks when all is drawn
        assert execute_pass(store, stages) == ()
    parts = {stage.key: sorted(store.work(stage.key).rglob("part-*.parquet")) for stage in stages}
    assert all(len(found) == -(-IMAGES // PART_IMAGES) for found in parts.values())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("omnicost.pipeline.pseudomask.generate._save", None)  # nothing is drawn again
        for stage in stages:
            execute(store, stage)
    for stage in stages:
        execute(plain, stage)
        assert masks_of(store, stage) == masks_of(plain, stage)
