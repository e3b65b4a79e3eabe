import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from student_world import NAMES, encode, make_dataset
from typer.testing import CliRunner

from omnicost.data import Dataset
from omnicost.errors import InputError
from omnicost.pipeline.pseudomask import generate as pseudomask
from omnicost.pipeline.pseudomask.rows import MaskRow, to_table
from omnicost.pipeline.quality import mask_examples
from omnicost.plot import masks as plot_masks
from omnicost.plot.masks import STRAY_COLOUR, Drawn, MaskExample, compute_masks_info
from omnicost.plot.style import shortened


def square(top: int, left: int, side: int = 10, size: int = 40) -> np.ndarray:
    mask = np.zeros((size, size), bool)
    mask[top : top + side, left : left + side] = True
    return mask


def drawn(ids: list[int], classes: list[int], *masks: np.ndarray) -> Drawn:
    stacked = np.stack(masks) if masks else np.zeros((0, 40, 40), bool)
    return Drawn(np.array(ids, np.int64), np.array(classes, np.int64), stacked)


TRUTH = drawn([7, 9], [0, 1], square(0, 0), square(20, 20))


def example(**values: Any) -> MaskExample:
    image = np.full((40, 40, 3), 90, np.uint8)
    defaults: dict[str, Any] = {
        "name": "a.png", "image": image, "annotation": "point", "class_names": NAMES, "truth": TRUTH
    }  # fmt: skip
    return MaskExample(**{**defaults, **values})


def test_masks_take_the_colour_of_their_annotation() -> None:
    """Colours follow annotation ids, whatever the order of the masks and however bad they are."""
    after = drawn([9, 7], [1, 0], square(0, 30), square(0, 0))
    row = compute_masks_info([example(after=after)]).rows[0]
    assert row.panels["after"].colours == (row.colours[9], row.colours[7])
    assert row.panels["truth"].colours == (row.colours[7], row.colours[9])


def test_detections_take_the_colour_of_what_they_are_on() -> None:
    """A mask of no annotation belongs to the instance of its class that it covers, or is grey."""
    after = drawn([-1, -1, -1], [1, 0, 0], square(21, 20), square(20, 20), square(30, 0))
    panel = compute_masks_info([example(annotation="none", after=after)]).rows[0]
    assert panel.panels["after"].colours == (panel.colours[9], STRAY_COLOUR, STRAY_COLOUR)


def test_mean_iou_is_over_the_instances() -> None:
    """An instance without a mask counts 0; of several masks on one the best counts."""
    half = square(0, 0)
    half[5:] = False
    after = drawn([7], [0], half)
    assert compute_masks_info([example(after=after)]).rows[0].panels["after"].mean_iou == (
        pytest.approx(0.25)
    )
    twice = drawn([-1, -1], [0, 0], half, square(0, 0))
    panel = compute_masks_info([example(annotation="class", after=twice)]).rows[0].panels["after"]
    assert panel.mean_iou == pytest.approx(0.5)


def test_columns_are_those_there_is_something_for() -> None:
    """No prompts and no earlier masks: no columns for them; any row that has some adds them."""
    bare = example(after=TRUTH)
    assert compute_masks_info([bare]).columns == ("label", "after", "truth")
    full = example(after=TRUTH, before=TRUTH, prompt_boxes=np.zeros((1, 4), np.float32))
    assert compute_masks_info([bare, full]).columns == (
        "label", "prompts", "before", "after", "truth"
    )  # fmt: skip


def test_smaller_masks_lie_on_top() -> None:
    """Where masks overlap, the smaller one's colour shows."""
    panel = plot_masks.MaskPanel(
        np.stack([square(2, 2, 4), square(0, 0, 20)]), ("#ff0000", "#0000ff"), None
    )
    overlay = plot_masks.tinted(panel)
    assert overlay[3, 3, :3].tolist() == [1, 0, 0]
    assert overlay[10, 10, :3].tolist() == [0, 0, 1]
    assert overlay[30, 30, 3] == 0


def test_no_image_is_an_input_error() -> None:
    """Nothing to show is said in one line."""
    with pytest.raises(InputError, match="choose 1 to 40"):
        compute_masks_info([])


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return make_dataset(tmp_path_factory.mktemp("toy"))


def table(dataset: Dataset, folder: Path, shift: int, source: str = "point") -> Path:
    rows = []
    for index in (0, 1, 4):
        truth = dataset.instances(index)
        for place, mask in enumerate(truth.masks()):
            box = truth.boxes[place].tolist()
            moved = np.roll(mask, shift, 1)
            rows.append(
                MaskRow(
                    int(dataset.image_ids[index]),
                    int(truth.annotation_ids[place]),
                    int(truth.class_indices[place]),
                    0.9,
                    source,
                    box,
                    encode(moved)["counts"],
                    64,
                    64,
                    [box[0] + 3, box[1] + 3],
                    [value + 2 for value in box],
                    box,
                )
            )
    folder.mkdir()
    pq.write_table(to_table(rows), folder / pseudomask.MASKS)
    return folder


def test_examples_come_from_the_tables(dataset: Dataset, tmp_path: Path) -> None:
    """Points, boxes and masks are those of the step's tables, matched to the ground truth."""
    after, before = table(dataset, tmp_path / "a", 0), table(dataset, tmp_path / "b", 4)
    shown = mask_examples.examples(dataset, after, before, image_ids=[5, 45])
    assert [one.name for one in shown] == ["0.png", "4.png"]
    first = shown[0]
    truth = dataset.instances(0)
    assert first.after is not None
    assert first.points is not None
    assert first.sam_boxes is not None
    np.testing.assert_array_equal(first.after.masks, truth.masks())
    np.testing.assert_allclose(first.points[:, 0], truth.boxes[:, :2] + 3)
    np.testing.assert_allclose(first.sam_boxes, truth.boxes + 2)
    info = compute_masks_info(shown)
    assert info.rows[0].panels["after"].mean_iou == 1
    earlier = info.rows[0].panels["before"].mean_iou
    assert earlier is not None
    assert 0 < earlier < 1


def test_images_without_masks_are_an_input_error(dataset: Dataset, tmp_path: Path) -> None:
    """An image that the table lacks is named."""
    with pytest.raises(InputError, match="no pseudo-mask on image 25"):
        mask_examples.examples(dataset, table(dataset, tmp_path / "a", 0), image_ids=[25])


def test_verb_writes_a_picture(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`omnicost plot masks` draws rows of panels, and `--json` gives their figures."""
    from omnicost.cli import app

    monkeypatch.setattr("omnicost.data.open_dataset", lambda *args, **options: dataset)
    after, before = table(dataset, tmp_path / "a", 0), table(dataset, tmp_path / "b", 4)
    out = tmp_path / "masks.png"
    arguments = ["plot", "masks", "toy", "--pseudomasks", str(after), "--before", str(before)]
    done = CliRunner().invoke(app, [*arguments, "--images", "2", "--out", str(out), "--json"])
    assert done.exit_code == 0, done.output
    rows = json.loads(done.output)["rows"]
    assert len(rows) == 2
    assert all(row["mean_iou"]["before"] < row["mean_iou"]["after"] == 1 for row in rows)
    picture = np.asarray(Image.open(out).convert("RGB"))
    height, width = picture.shape[:2]
    assert width == pytest.approx(7.2 * 200, rel=0.1)
    assert height > width / 5 * 1.8  # two rows of five square panels
    assert picture.std() > 20


def test_wrong_picture_format_is_refused_before_reading(tmp_path: Path) -> None:
    """The ending is checked first: nothing is read for a picture that cannot be written."""
    from omnicost.cli import app

    arguments = ["plot", "masks", "nowhere", "--pseudomasks", "none", "--out", "masks.bmp"]
    done = CliRunner().invoke(app, arguments)
    assert isinstance(done.exception, InputError)
    assert "use .png, .svg or .pdf" in str(done.exception)


def test_long_names_stay_inside_their_rows(tmp_path: Path) -> None:
    """A file name of 300 characters is shortened in its middle, and makes no room for itself."""
    long = [example(name=f"{'x' * 300}{index}.png") for index in range(2)]
    short = [example(name=f"{index}.png") for index in range(2)]
    sizes = []
    for index, rows in enumerate((long, short)):
        path = tmp_path / f"{index}.png"
        plot_masks.draw_masks(compute_masks_info(rows), path, 4)
        sizes.append(Image.open(path).size)
    assert abs(sizes[0][0] - sizes[1][0]) < 20
    assert abs(sizes[0][1] - sizes[1][1]) < 20
    assert shortened("abcdefghij", 5) == "ab…ij"
    assert shortened("abc", 5) == "abc"


def test_instances_have_their_class_beside_them() -> None:
    """In the ground truth, whatever signs a name has: mathematics is not typeset."""
    names = ("a $x_1$ & [b]", *NAMES[1:])
    row = compute_masks_info([example(class_names=names)])
    figure = plot_masks._grid(row, 4)
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert sorted(texts) == sorted([names[0], names[1]])
    figure.canvas.draw()
