"""Merged COCO files and Label Studio pre-annotations."""

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import hotcoco
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from data_samples import ellipse, every_form, write
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from matplotlib.path import Path as MplPath
from pycocotools import mask as mask_api
from typer.testing import CliRunner, Result

from omnicost.annotation import AnnotationType, Policy
from omnicost.cli import app
from omnicost.data import Dataset, open_dataset
from omnicost.data.check import check
from omnicost.data.exports.brush import brush_rle
from omnicost.data.exports.coco import write_coco_json
from omnicost.data.exports.cvat import write_cvat
from omnicost.data.exports.label_studio import write_tasks
from omnicost.data.exports.merged import Merged, PseudoMasks, read_pseudomasks
from omnicost.data.exports.regions import OwnLabels
from omnicost.data.exports.yolo import joined, outlines, write_yolo
from omnicost.data.imports.photos import Photos
from omnicost.data.imports.read import read_export
from omnicost.data.imports.write import Imported, write_set
from omnicost.data.weak import AnnotatorNoise
from omnicost.errors import InputError

MASK, POINT = AnnotationType.MASK.strength, AnnotationType.POINT.strength
BLOBS = [ellipse(40, 60, 20, 10 + 12 * n, 9, 8) for n in range(4)]


def pseudo(masks: list[np.ndarray], image_ids: list[int], annotation_ids: list[int]) -> PseudoMasks:
    rles = [mask_api.encode(np.asfortranarray(mask, np.uint8)) for mask in masks]
    return PseudoMasks(
        image_ids=np.array(image_ids),
        annotation_ids=np.array(annotation_ids),
        class_indices=np.arange(len(masks)) % 2,
        scores=np.linspace(0.3, 0.9, len(masks)),
        sources=["point"] * len(masks),
        counts=[rle["counts"] for rle in rles],
    )


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """Images 4 (one car), 20 (two instances, a crowd) and 31 (empty)."""
    return open_dataset(write(tmp_path / "data", every_form()), "train")


@pytest.fixture
def merged(dataset: Dataset) -> Merged:
    """Image 20 has points, and pseudo-masks for both instances and one more; 4 has real masks."""
    made = pseudo([*BLOBS, BLOBS[0] & False], [20, 20, 4, 20, 20], [7, 5, 9, -1, 7])
    return Merged(dataset, np.array([MASK, POINT, POINT]), made)


def test_merged_coco(tmp_path: Path, merged: Merged) -> None:
    """Real masks where there are any, else pseudo-masks with score, source and their ids."""
    path = tmp_path / "out" / "merged.json"
    counts = write_coco_json(path, merged.dataset, merged.annotations())
    content = json.loads(path.read_text())
    assert counts == {"human": 1, "point": 3}
    assert [each["id"] for each in content["images"]] == [4, 20, 31]
    found = {each["id"]: each for each in content["annotations"]}
    assert list(found) == [9, 7, 5, 12]
    assert (found[9]["source"], found[9]["score"]) == ("human", 1.0)
    assert (found[7]["source"], found[7]["score"]) == ("point", pytest.approx(0.3))
    assert [found[each]["category_id"] for each in (7, 5, 12)] == [3, 90, 90]
    for each, blob in ((7, BLOBS[0]), (5, BLOBS[1]), (12, BLOBS[3])):
        rle = found[each]["segmentation"]
        np.testing.assert_array_equal(mask_api.decode(rle).astype(bool), blob)
        assert found[each]["area"] == blob.sum()
    assert not [each for each in path.parent.iterdir() if each != path], "nothing else is left"


def test_merged_file_is_a_data_set_of_its_own(tmp_path: Path, merged: Merged) -> None:
    """The file opens, checks without fault, and loads in another evaluator."""
    path = tmp_path / "data" / "train2017" / "instances.json"
    write_coco_json(path, merged.dataset, merged.annotations())
    assert not check(path, "all").faults
    again = open_dataset(path, "all")
    assert again.class_names == merged.dataset.class_names
    assert again.instances(1).annotation_ids.tolist() == [5, 7, 12]
    assert len(hotcoco.COCO(str(path)).get_ann_ids()) == 4


def test_a_failed_export_leaves_the_old_file(tmp_path: Path, merged: Merged) -> None:
    """A file is replaced whole or not at all."""
    path = tmp_path / "merged.json"
    path.write_text("old")
    with pytest.raises(ValueError, match="JSON"):
        write_coco_json(path, merged.dataset, [{"id": 1, "area": float("nan")}])
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir() if each.is_file()] == ["merged.json"]


@pytest.mark.parametrize(
    ("image_id", "kind", "problem"), [(5, 0, "image id 5"), (20, 2, "class index 2")]
)
def test_pseudo_masks_of_other_data(
    dataset: Dataset, image_id: int, kind: int, problem: str
) -> None:
    """Pseudo-masks of images or classes that the data set lacks are refused in one line."""
    made = pseudo(BLOBS[:1], [image_id], [-1])._replace(class_indices=np.array([kind]))
    with pytest.raises(InputError, match=problem):
        Merged(dataset, np.array([POINT] * 3), made)


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path, merged: Merged) -> None:
    """Writing below a file names the path."""
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        write_coco_json(tmp_path / "file" / "merged.json", merged.dataset, [])
    with pytest.raises(InputError, match="cannot be written"):
        write_tasks(tmp_path / "file", merged)


# --- Label Studio


def decode_brush(content: list[int]) -> np.ndarray:
    """What Label Studio's reader of the format makes of the bytes, bit by bit."""
    bits = "".join(f"{byte:08b}" for byte in content)
    place = 0

    def read(width: int) -> int:
        nonlocal place
        place += width
        return int(bits[place - width : place], 2)

    values = np.zeros(read(32), np.uint8)
    word = read(5) + 1
    sizes = [read(4) + 1 for _ in range(4)]
    done = 0
    while done < len(values):
        repeated = read(1)
        end = done + 1 + read(sizes[read(2)])
        if repeated:
            values[done:end] = read(word)
        else:
            values[done:end] = [read(word) for _ in range(done, end)]
        done = end
    assert len(bits) - place < 8, "only padding is left"
    return values


@given(arrays(bool, st.tuples(st.integers(1, 30), st.integers(1, 30))))
def test_brush_masks_decode_to_rgba(mask: np.ndarray) -> None:
    """Label Studio's decoder gives 255 in all four channels on the mask, 0 off it."""
    rgba = decode_brush(brush_rle(mask)).reshape(*mask.shape, 4)
    np.testing.assert_array_equal(rgba, np.repeat(mask[..., None] * 255, 4, axis=2))


@pytest.mark.parametrize("pixels", [1, 2, 4, 5, 64, 65, 16384, 16385, 32768, 40001])
def test_long_runs_are_cut(pixels: int) -> None:
    """Runs at and over the length that a code can hold come back whole."""
    mask = np.zeros((1, pixels + 2), bool)
    mask[0, 1:-1] = True
    assert decode_brush(brush_rle(mask))[3::4].sum() == 255 * pixels


def test_tasks(tmp_path: Path, merged: Merged) -> None:
    """Images without real masks become tasks; brushes carry class, score and mask."""
    config, *files = write_tasks(tmp_path / "ls", merged, "https://host/", tasks_per_file=1)
    tasks = [json.loads(path.read_text()) for path in files]
    assert [[each["data"]["image_id"] for each in file] for file in tasks] == [[20], [31]]
    (task,) = tasks[0]
    assert task["data"]["image"] == "https://host/folder/20.png"
    (prediction,) = task["predictions"]
    assert len(prediction["result"]) == 3
    assert len({each["id"] for each in prediction["result"]}) == 3
    control = ElementTree.fromstring(config.read_text())
    names = {each.get("name"): each.tag for each in control}
    labels = [each.get("value") for each in control.iter("Label")]
    assert labels == ["car", "toothbrush"]
    for region, blob in zip(prediction["result"], (BLOBS[0], BLOBS[1], BLOBS[3]), strict=True):
        assert names[region["from_name"]] == "BrushLabels"
        assert names[region["to_name"]] == "Image"
        assert set(region["value"]["brushlabels"]) <= set(labels)
        alpha = decode_brush(region["value"]["rle"])[3::4].reshape(40, 60)
        np.testing.assert_array_equal(alpha > 0, blob)
        assert (region["original_height"], region["original_width"]) == (40, 60)
    assert tasks[1][0]["predictions"][0]["result"] == []


def test_a_smaller_export_leaves_no_tasks_of_the_first(tmp_path: Path, merged: Merged) -> None:
    """Tasks of an earlier export go, somebody's file stays, and any number of images is told."""
    stranger = tmp_path / "tasks-mine.json"
    stranger.write_text("[]")
    told: list[int] = []
    first = write_tasks(
        tmp_path, merged, tasks_per_file=1, progress=lambda done, *_: told.append(done)
    )
    assert told == [1, 2]
    second = write_tasks(tmp_path, merged)
    assert [len(each) for each in (first, second)] == [3, 2]
    assert {*tmp_path.glob("*.*")} == {stranger, *second}


# --- the verb


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["export", *map(str, arguments)])


def test_export_from_the_command_line(tmp_path: Path) -> None:
    """Pseudo-masks of the pipeline's table become a COCO file, or tasks for annotators."""
    from omnicost.data.splits import assign

    data = write(tmp_path / "data", every_form())
    policy = Policy.parse("mask=0.34,point=0.66")
    dataset = open_dataset(data, "train")
    weak = dataset.image_ids[assign(dataset, policy, 5) == POINT].tolist()
    made = pseudo(BLOBS[:2], weak, [-1, -1])
    table = pa.table(
        {
            "image_id": made.image_ids,
            "annotation_id": made.annotation_ids,
            "class_index": made.class_indices.astype(np.int32),
            "score": made.scores.astype(np.float32),
            "source": made.sources,
            "rle": made.counts,
        }
    )
    folder = tmp_path / "artefact"
    folder.mkdir()
    pq.write_table(table, folder / "pseudomasks.parquet")
    common = (data, "--policy", policy, "--seed", 5, "--pseudomasks", folder, "--json")
    done = run(*common, "--out", tmp_path / "merged.json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["instances"]["point"] == 2
    content = json.loads((tmp_path / "merged.json").read_text())
    (human,) = set(dataset.image_ids.tolist()) - set(weak)
    real = sorted(each["id"] for each in content["annotations"] if each["source"] == "human")
    wanted = dataset.instances(dataset.index_of(human), crowds=True).annotation_ids
    assert real == wanted.tolist()
    done = run(*common, "--format", "label-studio", "--out", tmp_path / "tasks")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["files"] == ["labelling_config.xml", "tasks-00001.json"]


def test_missing_pseudo_masks_are_one_line(tmp_path: Path) -> None:
    """A folder without the table is named."""
    data = write(tmp_path / "data", every_form())
    done = run(data, "--policy", "point=1", "--pseudomasks", tmp_path, "--out", tmp_path / "o")
    assert isinstance(done.exception, InputError)
    assert str(tmp_path) in str(done.exception)


# --- CVAT, YOLO, and back


def reimported(export: Path, photos: Path, out: Path) -> tuple[Imported, Dataset]:
    done = write_set(read_export(export), Photos(photos), out, only_labelled=True)
    return done, open_dataset(out, "all")


def test_cvat_comes_back_whole(tmp_path: Path, merged: Merged) -> None:
    """Every mask, real or made, is the same to the pixel after CVAT's XML."""
    assert write_cvat(tmp_path / "a.xml", merged) == 4
    done, again = reimported(tmp_path / "a.xml", merged.dataset.picture_folder, tmp_path / "set")
    assert done.skipped == ()
    assert done.instances == {"mask": 4}
    truth = merged.dataset.instances(0).masks()
    np.testing.assert_array_equal(again.instances(2).masks(), truth)  # ids go by name
    np.testing.assert_array_equal(again.instances(0).masks(), [BLOBS[0], BLOBS[1], BLOBS[3]])


def test_yolo_outlines_keep_the_shape(tmp_path: Path, merged: Merged) -> None:
    """Outlines go round every part and hole: IoU over 0.9 with the mask after a round trip."""
    counts = write_yolo(tmp_path / "yolo", merged)
    assert counts == (4, 0)
    done, again = reimported(tmp_path / "yolo", merged.dataset.picture_folder, tmp_path / "set")
    assert done.skipped == ()
    masks = again.instances(0).masks()
    for mask, blob in zip(masks, (BLOBS[0], BLOBS[1], BLOBS[3]), strict=True):
        assert (mask & blob).sum() / (mask | blob).sum() > 0.9


def test_a_mask_without_a_pixel_has_no_line(tmp_path: Path) -> None:
    """YOLO has no place for it: left out and counted."""
    content = every_form()
    tiny = {"segmentation": [[5.1, 5.1, 5.2, 5.1, 5.2, 5.2]], "bbox": [5.1, 5.1, 0.1, 0.1]}
    content["annotations"][0] |= tiny | {"area": 0.005}
    dataset = open_dataset(write(tmp_path / "data", content), "train")
    assert write_yolo(tmp_path / "yolo", OwnLabels(dataset)) == (2, 1)


@given(arrays(bool, (24, 30), elements=st.booleans(), fill=st.just(False)), st.booleans())
def test_any_mask_has_an_outline(noise: np.ndarray, ring: bool) -> None:
    """Parts and holes: the joined outline covers what the mask covers, within its edge."""
    mask = ellipse(24, 30, 12, 15, 9, 11)
    if ring:
        mask &= ~ellipse(24, 30, 12, 15, 4, 5)
    mask = mask | noise
    outline = joined(outlines(mask_api.encode(np.asfortranarray(mask, np.uint8))))
    inside = (MplPath(outline).contains_points(np.argwhere(mask)[:, ::-1] + 0.5)).mean()
    assert inside > 0.95


def test_empty_pseudo_masks_are_listed(merged: Merged) -> None:
    """A label whose pseudo-mask has no pixel is in no file, so it is told; so is one without a row,
    unless its annotator is one who missed it."""
    drawn = merged.pseudo._replace(
        **{name: getattr(merged.pseudo, name)[1:] for name in merged.pseudo._fields}
    )
    less = Merged(merged.dataset, merged.strengths, drawn)
    named = merged.dataset.instances(1)
    lost = sorted(set(named.annotation_ids.tolist()) - set(drawn.annotation_ids[:2].tolist()))
    assert [each.annotation_id for each in less.unmasked()] == lost
    assert lost
    careless = AnnotatorNoise(missed=1.0)
    assert Merged(merged.dataset, merged.strengths, drawn, careless).unmasked() == []


def test_a_cell_of_masks_throughout(tmp_path: Path) -> None:
    """No pseudo-masks at all are none, not a fault."""
    folder = write(tmp_path / "data", every_form())
    merged = Merged(open_dataset(folder, "train"), np.array([MASK] * 3), read_pseudomasks([]))
    assert write_coco_json(tmp_path / "m.json", merged.dataset, merged.annotations()) == {
        "human": 4
    }
