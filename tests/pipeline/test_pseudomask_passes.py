"""Jobs that share a pass, restarts, and what changes no mask."""

from pathlib import Path

import numpy as np
import pytest
from pseudomask_world import BOX, CLASS, IMAGES, MASK, NONE, POINT, decoded, job, run

from omnicost.pipeline import embed
from omnicost.pipeline.config import (
    EmbedConfig,
    PseudomaskConfig,
    SelectConfig,
)
from omnicost.pipeline.embed import Embeddings
from omnicost.pipeline.pseudomask import generate as pseudomask
from omnicost.pipeline.pseudomask.rows import Job


def all_jobs(world: dict, folder: Path) -> list[Job]:
    """A mixed policy and some cells beside it."""
    return [
        job(world, MASK, folder / "mask", images=(0, 3)),
        job(world, BOX, folder / "box", images=(1, 5)),
        job(world, POINT, folder / "point", images=(2, 4, 6)),
        job(world, CLASS, folder / "class"),
        job(world, BOX, folder / "released", "released"),
        job(world, NONE, folder / "nothing", images=()),
    ]


def test_one_pass_gives_what_separate_passes_give(world: dict, tmp_path: Path) -> None:
    """No artefact depends on the jobs that shared its pass; types mix freely over the images."""
    together = run(world, all_jobs(world, tmp_path / "a"), tmp_path / "w")
    for number, each in enumerate(all_jobs(world, tmp_path / "b")):
        (alone,) = run(world, [each], tmp_path / f"w{number}")
        assert alone == together[number]
    assert together[-1] == []
    seen = {row["image_id"] for rows in together[:3] for row in rows}
    assert seen <= set(world["dataset"].image_ids.tolist())
    assert sum(map(len, together)) > 15


def test_each_embedding_is_read_once(
    world: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six jobs on seven images read seven embeddings at most, from the cache."""
    out, work = tmp_path / "embedded", tmp_path / "embedding"
    out.mkdir()
    work.mkdir()
    embed.run(world["dataset"], world["spec"], EmbedConfig(), out=out, work=work)
    asked: list[int] = []
    real = Embeddings.get

    def counted(self: Embeddings, index: int) -> np.ndarray:
        asked.append(index)
        return real(self, index)

    monkeypatch.setattr(Embeddings, "get", counted)
    monkeypatch.setattr(embed.ImageEncoder, "encode", None)
    run(world, all_jobs(world, tmp_path / "a"), tmp_path / "w", embeddings=[out])
    assert len(asked) == len(set(asked))
    assert set(asked) <= set(IMAGES)


def test_restart_takes_up_after_the_last_part(world: dict, tmp_path: Path) -> None:
    """Interrupted after a part: what was drawn stays, and another job may join in."""

    class Stopped(Exception):
        pass

    def stop(done: int, *_: object) -> None:
        raise Stopped

    first = [job(world, BOX, tmp_path / "box"), job(world, CLASS, tmp_path / "class")]
    with pytest.raises(Stopped):
        run(world, first, tmp_path / "w", report=stop)
    parts = sorted((tmp_path / "w").glob("*/*/part-*.parquet"))
    assert len(parts) == 2
    times = [part.stat().st_mtime_ns for part in parts]
    more = [*first[::-1], job(world, MASK, tmp_path / "mask")]
    resumed = run(world, more, tmp_path / "w")
    assert [part.stat().st_mtime_ns for part in parts] == times
    fresh = [job(world, k, tmp_path / "f" / k) for k in (CLASS, BOX, MASK)]
    assert resumed == run(world, fresh, tmp_path / "w2")


@pytest.mark.parametrize("size", [2, 6])
def test_a_restart_in_parts_of_another_size_loses_nothing(
    world: dict, tmp_path: Path, size: int
) -> None:
    """No mask is missing or there twice: parts of another size are drawn again."""
    reports = []

    def stop(done: int, *_: object) -> None:
        reports.append(done)
        if len(reports) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(world, [job(world, BOX, tmp_path / "a")], tmp_path / "w", report=stop)
    config = PseudomaskConfig(part_images=size, images_per_block=2)
    (resumed,) = run(world, [job(world, BOX, tmp_path / "a")], tmp_path / "w", config=config)
    (fresh,) = run(world, [job(world, BOX, tmp_path / "b")], tmp_path / "w2", config=config)
    assert resumed == fresh


def test_decoding_in_other_batches_changes_next_to_nothing(world: dict, tmp_path: Path) -> None:
    """How many prompts and images go together is a matter of speed."""
    one = PseudomaskConfig(part_images=1, images_per_block=1, decode_prompts=1)
    many = PseudomaskConfig(part_images=100, images_per_block=100, decode_prompts=64)
    (first,) = run(world, [job(world, POINT, tmp_path / "a")], tmp_path / "w1", config=one)
    (second,) = run(world, [job(world, POINT, tmp_path / "b")], tmp_path / "w2", config=many)
    assert len(first) == len(second)
    for left, right in zip(first, second, strict=True):
        assert (decoded(left) != decoded(right)).sum() <= 2


def test_threads_change_nothing(world: dict, tmp_path: Path) -> None:
    """Blocks read ahead and masks encoded behind give the same bytes, images encoded or cached."""
    out, work = tmp_path / "embed", tmp_path / "embedding"
    for folder in (out, work):
        folder.mkdir()
    embed.run(world["dataset"], world["spec"], EmbedConfig(), out=out, work=work)
    for cached in ([], [out]):
        made = []
        for workers in (0, 3):
            name = f"{len(cached)}-{workers}"
            config = PseudomaskConfig(part_images=3, images_per_block=2, workers=workers)
            jobs = all_jobs(world, tmp_path / name)
            run(world, jobs, tmp_path / f"w{name}", config=config, embeddings=cached)
            made.append([(each.out / pseudomask.MASKS).read_bytes() for each in jobs])
        assert made[0] == made[1]


def test_a_job_is_named_once(world: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its name covers the list of its images, so it is not made anew for each of them."""
    named, identity = [], SelectConfig.identity
    monkeypatch.setattr(SelectConfig, "identity", lambda self: named.append(self) or identity(self))
    run(world, [job(world, BOX, tmp_path / "o")], tmp_path / "w")
    assert len(named) == 1


def test_blocks_of_large_pictures_are_cut_by_pixels() -> None:
    """Small pictures go by count; of 12 megapixels six or fewer lie in memory together."""
    small = pseudomask.blocks_of(np.full((40, 2), 64), 16)
    assert small == [(index // 16, 0) for index in range(40)]
    cityscapes = pseudomask.blocks_of(np.full((32, 2), (1024, 2048)), 16)
    assert len(set(cityscapes)) == 2
    large = pseudomask.blocks_of(np.full((20, 2), (3000, 4000)), 16)
    assert [large.count(block) for block in sorted(set(large))] == [6, 6, 4, 4]
