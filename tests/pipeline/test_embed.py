"""Embed: one pass over the images, a cache with a limit, the rest encoded in passing."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from teacher_world import tiny_sam, write_dataset

from omnicost.data.splits import permutation
from omnicost.errors import InputError
from omnicost.models.teachers.frame import Frame
from omnicost.models.teachers.sam import Sam
from omnicost.pipeline import embed
from omnicost.pipeline.config import EmbedConfig
from omnicost.pipeline.embed import Embeddings, ImageEncoder, KeptEmbeddings
from omnicost.pipeline.portions import WHOLE, Portion


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple:
    root = tmp_path_factory.mktemp("embed")
    sam = tiny_sam()
    sam.save_pretrained(root / "sam")
    return write_dataset(root / "data", images=7), sam, str(root / "sam")


def run(
    world: tuple, folder: Path, report=lambda *_: None, order=None, portion=WHOLE, **settings
) -> Path:
    dataset, _, spec = world
    out, work = folder / "out", folder / "work"
    out.mkdir()
    work.mkdir(exist_ok=True)
    config = EmbedConfig(shard_images=3, batch_images=2, **settings)
    told = {"report": report, "order": order, "portion": portion}
    embed.run(dataset, spec, config, out=out, work=work, **told)
    return out


def never() -> ImageEncoder:
    raise AssertionError("the encoder was needed")


def bytes_of(images: int) -> float:
    return images * 2 * 32 * 8 * 8 / 1e9


def test_cache_holds_the_encoder_s_output(world: tuple, tmp_path: Path) -> None:
    """Every image's embedding comes back in fp16, without the encoder."""
    dataset, sam, _ = world
    cached = Embeddings([run(world, tmp_path)], dataset, never)
    for index in range(len(dataset)):
        with torch.no_grad():
            pixels = Frame(64).pixel_values([dataset.image(index)])
            expected = sam.vision_encoder(pixels).last_hidden_state[0]
        (got,) = cached.get(index)
        assert got.dtype == np.float16
        np.testing.assert_allclose(got, expected, atol=4e-3, rtol=1e-3)


def test_limit_keeps_the_labelled_prefix(world: tuple, tmp_path: Path) -> None:
    """Under a size limit the head of the permutation is cached; the rest is encoded in passing."""
    dataset, sam, _ = world
    out = run(world, tmp_path, limit_gigabytes=bytes_of(4))
    (tmp_path / "whole").mkdir()
    whole = Embeddings([run(world, tmp_path / "whole")], dataset, never)
    asked = []

    def encoder() -> ImageEncoder:
        asked.append(True)
        return ImageEncoder(Sam(sam), EmbedConfig())

    limited = Embeddings([out], dataset, encoder)
    order = permutation(dataset, 0).tolist()
    assert [index in limited for index in order] == [True] * 4 + [False] * 3
    limited.get(order[0])
    assert not asked
    for index in order:
        np.testing.assert_allclose(limited.get(index)[0], whole.get(index)[0], atol=2e-3, rtol=2e-3)
    assert len(asked) == 1
    stored = sum(np.load(file).nbytes for file in out.glob("*.npy"))
    assert stored <= bytes_of(4) * 1e9


def test_restart_takes_up_after_the_last_shard(world: tuple, tmp_path: Path) -> None:
    """An interrupted run leaves whole shards in `work`; the next one does only the rest."""

    class Stopped(Exception):
        pass

    def stop(done: int, total: int, figures: dict) -> None:
        if done == 5:
            raise Stopped

    with pytest.raises(Stopped):
        run(world, tmp_path, stop)
    first = tmp_path / "work" / "shard-00000.npy"
    kept = first.stat().st_mtime_ns
    (tmp_path / "out").rmdir()
    stale = tmp_path / "stale"
    shutil.copytree(tmp_path / "work", stale / "work")
    seen = []
    out = run(world, tmp_path, lambda done, *_: seen.append(done))
    assert seen[0] == 3
    assert (out / "shard-00000.npy").stat().st_mtime_ns == kept
    dataset = world[0]
    (tmp_path / "again").mkdir()
    again = Embeddings([run(world, tmp_path / "again")], dataset, never)
    resumed = Embeddings([out], dataset, never)
    assert all(np.array_equal(resumed.get(i), again.get(i)) for i in range(len(dataset)))
    changed = run(world, stale, order=range(7))  # leftovers of another order are not taken up
    reordered = Embeddings([changed], dataset, never)
    assert all(np.allclose(reordered.get(i), again.get(i), atol=4e-3) for i in range(len(dataset)))


def test_portions_are_the_whole(world: tuple, tmp_path: Path) -> None:
    """Three portions hold each image once, as one does; the limit is that of all together."""
    dataset = world[0]
    (tmp_path / "whole").mkdir()
    whole = Embeddings([run(world, tmp_path / "whole")], dataset, never)
    portions = [Portion(number, 3) for number in range(3)]
    outs = []
    for each in portions:
        (tmp_path / f"p{each.number}").mkdir()
        outs.append(run(world, tmp_path / f"p{each.number}", portion=each))
    order = permutation(dataset, 0).tolist()
    held = [json.loads((out / "index.json").read_text())["images"] for out in outs]
    assert [image for images in held for image in images] == order
    parts = Embeddings(outs, dataset, never)
    for index in order:  # other batches, other last bits
        np.testing.assert_allclose(parts.get(index)[0], whole.get(index)[0], atol=2e-3, rtol=2e-3)
    (tmp_path / "least").mkdir()
    least = run(world, tmp_path / "least", portion=portions[1], limit_gigabytes=bytes_of(3))
    held = json.loads((least / "index.json").read_text())["images"]
    assert held == order[portions[1].of(len(order)).start : 3]


def test_kept_embeddings_are_encoded_once(world: tuple) -> None:
    """Pictures that come up again are not encoded again."""
    dataset, sam, _ = world
    encoder = ImageEncoder(Sam(sam), EmbedConfig())
    kept = KeptEmbeddings((), dataset, lambda: encoder)
    first = kept.get(2)
    encoder.encode = never  # type: ignore[method-assign, assignment]
    assert kept.get(2) is first


def test_other_data_set_s_cache_is_refused(world: tuple, tmp_path: Path) -> None:
    """Embeddings name the data set that they are of."""
    out = run(world, tmp_path)
    other = write_dataset(tmp_path / "other", seed=9)
    with pytest.raises(InputError, match="another data set"):
        Embeddings([out], other, never)
    (out / "index.json").write_text(json.dumps({})[:1])
    with pytest.raises(InputError, match="run the embed step again"):
        Embeddings([out], other, never)


@pytest.mark.parametrize("workers", [0, 2])
def test_threads_change_nothing(world: tuple, tmp_path: Path, workers: int) -> None:
    """Pictures decoded ahead in threads arrive in order."""
    dataset = world[0]
    cached = Embeddings([run(world, tmp_path, workers=workers)], dataset, never)
    with torch.no_grad():
        pixels = Frame(64).pixel_values([dataset.image(3)])
        expected = world[1].vision_encoder(pixels).last_hidden_state[0]
    np.testing.assert_allclose(cached.get(3)[0], expected, atol=4e-3, rtol=1e-3)
