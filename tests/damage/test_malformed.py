"""Malformed input: each case is one line through the command line, with exit code 1."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from omnicost.cli import main

GOOD: dict[str, Any] = {
    "images": [{"id": 1, "height": 4, "width": 4}, {"id": 2, "height": 4, "width": 4}],
    "categories": [{"id": 7, "name": "cat"}],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 7, "bbox": [0, 0, 2, 2], "area": 4},
        {"id": 2, "image_id": 2, "category_id": 7, "bbox": [0, 0, 2, 2], "area": 4},
    ],
}
NAN = float("nan")


def edit(section: str, index: int, **changes: object) -> str:
    """The good file with fields of one record replaced, or removed where the value is ..."""
    data = copy.deepcopy(GOOD)
    record = data[section][index] | changes
    data[section][index] = {key: value for key, value in record.items() if value is not ...}
    return json.dumps(data)


# content of the COCO file, what the line must say
COCO = {
    "empty file": ("", "is empty; give a JSON file"),
    "blank file": (" \n", "is empty"),
    "not JSON": ("{images: 1}", "is not JSON"),
    "cut short": (json.dumps(GOOD)[:-20], "is not JSON"),
    "not UTF-8": (b"\xff\xfe{\x00", "is not JSON"),
    "too deep": ("[" * 200_000, "is not JSON"),
    "a list": ("[]", "holds a list, not an object"),
    "missing section": (json.dumps({"images": [], "annotations": []}), "categories is missing"),
    "section of another type": (json.dumps(GOOD | {"images": {}}), "images is a dict"),
    "record of another type": (json.dumps(GOOD | {"annotations": [3]}), "annotations[0]: is 3"),
    "no images": (json.dumps(GOOD | {"images": []}), "images is empty; list at least one image"),
    "no categories": (json.dumps(GOOD | {"categories": []}), "list at least one category"),
    "image without id": (edit("images", 1, id=...), "images[1]: has no id; add it"),
    "image id as text": (edit("images", 0, id="one"), 'images[0] (id "one"): id is "one"'),
    "image id of NaN": (edit("images", 0, id=NAN), "id is NaN; use a whole number"),
    "huge id": (edit("images", 0, id=2**70), "use a whole number"),
    "duplicate image id": (
        edit("images", 1, id=1),
        "(id 1): id 1 is used twice; make ids unique",
    ),
    "negative height": (edit("images", 0, height=-4), "height and width is -4 and 4"),
    "file name of another type": (edit("images", 0, file_name=3), "file_name is 3; use text"),
    "duplicate category id": (
        json.dumps(GOOD | {"categories": GOOD["categories"] * 2}),
        "categories[1] (id 7): id 7 is used twice",
    ),
    "category without name": (edit("categories", 0, name=...), "categories[0] (id 7): has no name"),
    "category name of another type": (edit("categories", 0, name=1), "name is 1; use text"),
    "duplicate annotation id": (
        edit("annotations", 1, id=1),
        "(id 1): id 1 is used twice",
    ),
    "annotation without image": (edit("annotations", 0, image_id=...), "(id 1): has no image_id"),
    "annotation of an absent image": (
        edit("annotations", 1, image_id=9),
        "annotations[1] (id 2): image_id 9 is not in images; add it to images or remove",
    ),
    "annotation of an absent category": (
        edit("annotations", 1, category_id=8),
        "annotations[1] (id 2): category_id 8 is not in categories",
    ),
    "fractional category": (edit("annotations", 0, category_id=7.5), "category_id is 7.5"),
    "category of null": (edit("annotations", 0, category_id=None), "category_id is null"),
    "area of NaN": (edit("annotations", 1, area=NAN), "(id 2): area is NaN; use a finite number"),
    "negative area": (edit("annotations", 1, area=-3), "(id 2): area is -3"),
    "area as text": (edit("annotations", 1, area="4"), '(id 2): area is "4"'),
    "box of three": (edit("annotations", 1, bbox=[0, 0, 1]), "(id 2): bbox is [0, 0, 1]"),
    "box of NaN": (edit("annotations", 1, bbox=[0, 0, NAN, 1]), "(id 2): bbox is [0, 0, NaN, 1]"),
    "box of text": (edit("annotations", 1, bbox=[0, 0, "1", 1]), "(id 2): bbox is"),
    "negative box": (edit("annotations", 1, bbox=[0, 0, -2, 1]), "(id 2): bbox is [0, 0, -2, 1]"),
    "box of another type": (edit("annotations", 0, bbox="none"), '(id 1): bbox is "none"'),
    "crowd of 2": (edit("annotations", 0, iscrowd=2), "(id 1): iscrowd is 2; use 0 or 1"),
}

TIMES = {
    "empty file": ("", "holds nothing, not a mapping"),
    "a list": ("- 7", "holds list, not a mapping"),
    "not YAML": ("box: [7", "is not YAML"),
    "not text": (b"\xff\xfe\x00", "is not YAML"),
    "unsafe tag": ("box: !!python/object/apply:os.system ['true']", "is not YAML"),
    "unknown field": ("boxes: 7", "boxes: unknown field; did you mean box?"),
    "field named by a line's end": ('"\\n": 7', "'\\n': unknown field"),
    "negative time": ("box: -7", "box.seconds is -7"),
    "NaN": ("mask: .nan", "mask.seconds is nan"),
    "infinite": ("mask: .inf", "mask.seconds is inf"),
    "unknown published time": ("box: laser", "box: no published time 'laser'; use seconds or one"),
    "of another type": ("box: [7]", "box is [7]"),
    "without seconds": ("box: {source: me}", "box.seconds: missing; add it"),
    "spread as text": ("project_log_sd: {box: wide}", "project_log_sd.box is 'wide'"),
}

OPTIONS = {
    "unknown data set": (["--dataset", "cocoa"], "--dataset: unknown data set 'cocoa'; use coco"),
    "no data set": ([], "--dataset, --annotations: neither is given; give one of them"),
    "unknown type": (["--dataset", "coco", "--policy", "blob=1"], "unknown annotation type 'blob'"),
    "shares": (["--dataset", "coco", "--policy", "mask=0.1"], "shares add to 0.1, not 1"),
    "share of NaN": (["--dataset", "coco", "--policy", "mask=nan"], "share of mask is nan"),
    "no share": (["--dataset", "coco", "--policy", "mask"], "'mask' is not type=share"),
    "negative time": (["--dataset", "coco", "--time", "box=-1"], "--time: box.seconds is -1"),
    "no time": (["--dataset", "coco", "--time", "box"], "--time: 'box' is not a labelling time"),
    "absent file": (["--annotations", "/no/such.json"], "/no/such.json: cannot be read"),
    "a folder": (["--annotations", "/"], "/: cannot be read"),
    "absent times": (["--dataset", "coco", "--times", "/no/times.yaml"], "/no/times.yaml: cannot"),
}

LOGS = {
    "empty file": ("", "is empty"),
    "not text": (b"\xff\xfe\x00\x81", "is not text"),
    "not JSON": ("[{", "is not JSON"),
    "no tasks": ("[]", "holds no usable timing"),
    "an object": ('{"a": 1}', "is not a list of tasks"),
    "task without annotations": ('[{"id": 5}]', "task 5 has no list of annotations"),
    "lead time as text": (
        '[{"id": 5, "annotations": [{"result": [], "lead_time": "long"}]}]',
        "task 5: lead_time is 'long'",
    ),
    "negative lead time": (
        '[{"id": 5, "annotations": [{"result": [], "lead_time": -1}]}]',
        "task 5: lead_time is -1",
    ),
    "no types": ("image,seconds\na,3\n", "has no column of annotation types; say what was drawn"),
    "unknown type": ("type,seconds\nblob,3\n", "type is 'blob' in row 1; use class, point"),
    "no seconds": ("type,how_long\nbox,3\n", "has no column of seconds that I know"),
    "seconds as text": ("type,seconds\nbox,3\nbox,soon\n", "seconds is soon in row 2"),
    "negative seconds": ("type,seconds\nbox,-3\n", "seconds is -3 in row 1"),
    "infinite seconds": ("type,seconds\nbox,inf\n", "seconds is inf in row 1"),
    "no rows": ("type,seconds\n", "holds no usable timing"),
    "zero seconds": ("type,seconds\nbox,0\n", "1 rows took 0 seconds; remove them"),
    "uneven rows": ("type,seconds\nbox,3\nbox,3,4,5\n", "is not a table"),
}


@pytest.fixture
def refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Runs a command that must fail; gives its one line."""

    def run(*arguments: str) -> str:
        monkeypatch.setattr("sys.argv", ["omnicost", *arguments])
        with pytest.raises(SystemExit) as stop:
            main()
        printed = capsys.readouterr()
        assert stop.value.code == 1, printed.err
        assert printed.out == ""
        assert printed.err.startswith("omnicost: ")
        assert printed.err.count("\n") == 1, f"not one line: {printed.err}"
        assert len(printed.err) < 500
        return printed.err

    return run


def write(path: Path, content: str | bytes) -> str:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


@pytest.mark.parametrize("case", COCO)
def test_coco_files(case: str, tmp_path: Path, refused: Callable[..., str]) -> None:
    """Faults of a COCO-format file name the file, the record, the field and the value."""
    content, expected = COCO[case]
    path = write(tmp_path / "instances.json", content)
    line = refused("cost", "--annotations", path)
    assert path in line
    assert expected in line
    assert "; " in line, "no remedy"


def test_the_good_file_is_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file that the cases damage is itself accepted."""
    path = write(tmp_path / "instances.json", json.dumps(GOOD))
    monkeypatch.setattr("sys.argv", ["omnicost", "cost", "--annotations", path])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 0


@pytest.mark.parametrize("case", TIMES)
def test_labelling_times(case: str, tmp_path: Path, refused: Callable[..., str]) -> None:
    """Faults of a YAML of labelling times name the file, the field and the value."""
    content, expected = TIMES[case]
    path = write(tmp_path / "times.yaml", content)
    line = refused("cost", "--dataset", "coco", "--times", path)
    assert path in line
    assert expected in line


@pytest.mark.parametrize("case", OPTIONS)
def test_options(case: str, refused: Callable[..., str]) -> None:
    """Faults of options name the option and the value."""
    arguments, expected = OPTIONS[case]
    assert expected in refused("cost", *arguments)


@pytest.mark.parametrize("case", LOGS)
def test_logs(case: str, tmp_path: Path, refused: Callable[..., str]) -> None:
    """Faults of a log of timed annotations name the file, the row and the value."""
    content, expected = LOGS[case]
    line = refused("calibrate", write(tmp_path / "log", content))
    assert expected in line


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--only", "method"], "--only: 'method' is not column=value"),
        (["--only", "method=Manual"], "has no column 'method'; its columns are type, seconds"),
        (["--type", "blob"], "--type: unknown type 'blob'"),
        (["--seconds-column", "s"], "has no column 's'; its columns are type, seconds"),
        (["--out", "/dev/null/t.yaml"], "/dev/null/t.yaml: cannot be written"),
    ],
)
def test_calibrate_options(
    arguments: list[str], expected: str, tmp_path: Path, refused: Callable[..., str]
) -> None:
    """Options that do not fit the log say so."""
    log = write(tmp_path / "log.csv", "type,seconds\nbox,7\nbox,8\n")
    assert expected in refused("calibrate", log, *arguments)
