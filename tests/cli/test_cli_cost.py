"""The verbs cost and calibrate, as a person or a script sees them."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import omnicost
from omnicost import api
from omnicost.annotation import Policy
from omnicost.cli import app
from omnicost.cli.shared.door import line_of
from omnicost.cost import LabellingTimes
from omnicost.errors import InputError
from omnicost.results import recorded_table

RUNNER = CliRunner(env={"COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb"})


def run(*arguments: str) -> str:
    done = RUNNER.invoke(app, list(arguments))
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.csv"
    rows = [f"box,{worker},{7 + step % 5}" for worker in "abc" for step in range(40)]
    path.write_text("\n".join(["type,annotator,seconds", *rows, "box,a,3600"]))
    return path


@pytest.mark.parametrize("dataset", ["coco", "ade20k", "cityscapes"])
def test_cost_prints_table_1_with_its_arithmetic(dataset: str) -> None:
    """The column of Table 1 is printed beside the sum that it comes from."""
    output = run("cost", "--dataset", dataset)
    table = recorded_table(1)
    for row in table[table["dataset"] == dataset].to_dict("records"):
        shown = f"{row['seconds_per_image']:,.1f}"
        kind = row["annotation_type"]
        lines = [line.split()[:2] for line in output.splitlines() if line.startswith(kind)]
        assert [kind, shown] in lines
    assert ("fitted to Table 1" in output) == (dataset != "coco")


def test_printed_sum_is_the_model() -> None:
    """K, c and n and the times can be read off the line of each type."""
    output = run("cost", "--dataset", "coco")
    assert "76.5 tags x 1 + 3.5 points x 2.4 + 4.2 further x 0.9" in output
    assert "76.5 tags x 1 + 7.7 masks x 79" in output


def test_python_prices_the_types_that_the_verb_does() -> None:
    """A type that only a policy names has its own row in both."""
    policy = "scribble=0.5,box=0.5"
    told = json.loads(run("cost", "--dataset", "coco", "--policy", policy, "--json"))
    table = api.cost("coco", [policy])
    assert table["policy"].map(Policy.parse).tolist() == [
        Policy.of(row["policy"]) for row in told["prices"]
    ]
    assert "scribble=1" in table["policy"].tolist()


def test_cost_fits_80_columns() -> None:
    """No line is wider than a terminal, and no row of a table wraps."""
    for arguments in (
        ("--dataset", "coco"),
        ("--dataset", "cityscapes", "--policy", "mask=0.1,point=0.9", "--wage", "9"),
        ("--list-times",),
    ):
        output = run("cost", *arguments)
        assert max(map(len, output.splitlines())) <= 80
    rows = [line for line in output.splitlines()[1:] if line and not line.startswith(("*", "Ch"))]
    assert all(line[0] != " " for line in rows), "a row wraps"


def test_cost_json() -> None:
    """JSON holds the statistics, the times, the arithmetic and the prices."""
    options = ["--dataset", "coco", "--policy", "mask=0.1,point=0.9", "--wage", "9", "--json"]
    payload = json.loads(run("cost", *options, "--images", "1000"))
    prices = {json.dumps(row["policy"]): row for row in payload["prices"]}
    mixed = prices['{"point": 0.9, "mask": 0.1}']
    assert mixed["seconds_per_image"] == pytest.approx(148.292)
    assert mixed["money"] == pytest.approx(148.292 * 1000 / 3600 * 9)
    assert mixed["hours_interval"][0] < mixed["hours"] < mixed["hours_interval"][1]
    assert prices['{"none": 1.0}']["saving"] is None
    for kind, terms in payload["arithmetic"].items():
        total = sum(term["annotations"] * term["seconds"] for term in terms)
        expected = prices[json.dumps({kind: 1.0})]["seconds_per_image"]
        assert total == pytest.approx(expected)


def test_cost_of_an_own_file(tmp_path: Path) -> None:
    """A COCO-format file is priced on its own K, c and n."""
    path = tmp_path / "own.json"
    pair = {"image_id": 1, "category_id": 1}
    data = {
        "images": [{"id": 1}, {"id": 2}],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [{"id": 1, **pair}, {"id": 2, **pair}, {"id": 3, **pair, "iscrowd": 1}],
    }
    path.write_text(json.dumps(data))
    payload = json.loads(run("cost", "--annotations", str(path), "--json"))
    # K = 1, c = 1/2, n = 1: half a tag and one mask.
    assert payload["prices"][4]["seconds_per_image"] == pytest.approx(79.5)


def test_list_times_names_can_be_chosen() -> None:
    """A listed name is accepted by --time and changes the price."""
    listed = json.loads(run("cost", "--list-times", "--json"))
    names = {row["name"]: row for row in listed}
    options = ["--dataset", "coco", "--time", "mask=sam-late", "--json"]
    payload = json.loads(run("cost", *options))
    assert payload["times"]["mask"]["seconds"] == names["sam-late"]["seconds"] == 14


def test_calibrate_writes_times_that_cost_reads(log: Path, tmp_path: Path) -> None:
    """The YAML of calibrate goes into cost; the idle row is reported; nothing else is written."""
    out = tmp_path / "times.yaml"
    output = run("calibrate", str(log), "--out", str(out))
    assert "dropped as idle: 1 row, 1.00 h (longest 3,600 s)" in output
    times = LabellingTimes.from_yaml(out)
    assert times.box.seconds == pytest.approx(9.0)
    assert set(times.box.annotators) == {"a", "b", "c"}
    assert times.project_log_sd.measured == ("box",)
    priced = run("cost", "--dataset", "coco", "--times", str(out))
    assert "7.7 boxes x 9" in priced
    assert "an assumption for class, point, mask" in " ".join(priced.split())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.csv", "times.yaml"]


def test_calibrate_without_out_writes_nothing(log: Path, tmp_path: Path) -> None:
    """Without --out the figures are printed only."""
    assert "Nothing written" in run("calibrate", str(log))
    assert [path.name for path in tmp_path.iterdir()] == ["log.csv"]


def test_calibrate_json(log: Path) -> None:
    """JSON holds the times, what was dropped, and the warnings."""
    payload = json.loads(run("calibrate", str(log), "--json"))
    assert payload["idle"]["box"]["rows"] == 1
    assert payload["times"]["box"]["measured"]["rows"] == 120
    kept = json.loads(run("calibrate", str(log), "--json", "--keep-idle"))
    assert kept["idle"]["box"]["rows"] == 0


def test_help_loads_nothing_slow() -> None:
    """The command line starts without pandas, SciPy, Matplotlib or torch."""
    code = (
        "import sys, omnicost.cli\n"
        "slow = {'pandas', 'scipy', 'matplotlib', 'torch', 'ray', 'transformers'}\n"
        "sys.exit(', '.join(sorted(slow & set(sys.modules))) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_public_names_load_lazily() -> None:
    """Every public name is there; the import alone loads neither numpy nor pydantic."""
    code = (
        "import sys, omnicost\n"
        "assert not {'numpy', 'pydantic', 'pandas', 'yaml'} & set(sys.modules)\n"
        "for name in omnicost.__all__: assert getattr(omnicost, name) is not None\n"
        "assert set(omnicost.__all__) <= set(dir(omnicost))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_type_checkers_know_the_public_names() -> None:
    """What a type checker reads is what is loaded at run time, from the same modules."""
    for each in ast.walk(ast.parse(Path(omnicost.__file__).read_text(encoding="utf-8"))):
        if isinstance(each, ast.If) and ast.unparse(each.test) == "TYPE_CHECKING":
            read = {
                name.asname: line.module
                for line in each.body
                if isinstance(line, ast.ImportFrom)
                for name in line.names
            }
    assert read == {name: f"omnicost.{home}" for name, home in omnicost._HOME.items()}


def test_hardly_any_annotations_are_counted_per_hundred_images(tmp_path: Path) -> None:
    """A data set of one class in nearly every image pays few tags: no 0.008333 of them."""
    images = [{"id": i, "file_name": f"{i}.jpg", "width": 9, "height": 9} for i in range(120)]
    labels = [
        {"id": i, "image_id": i, "category_id": 1, "bbox": [0, 0, 2, 2], "area": 4, "iscrowd": 0,
         "segmentation": [[0, 0, 2, 0, 2, 2]]}
        for i in range(119)
    ]  # fmt: skip
    path = tmp_path / "cells.json"
    path.write_text(json.dumps({"images": images, "annotations": labels,
                                "categories": [{"id": 1, "name": "cell"}]}))  # fmt: skip
    text = CliRunner().invoke(app, ["cost", "--annotations", str(path)]).output
    assert "0.83 tags in 100 images x 1" in text
    assert "0.00833" not in text


def test_pictures_and_times_replace_nobody_s_file(tmp_path: Path) -> None:
    """Inputs, and files that omnicost did not write, stay; --force and own files are replaced."""
    log = tmp_path / "log.csv"
    log.write_text("seconds,type\n" + "7,box\n8,box\n" * 20)
    before = log.read_text()

    def refused(*words: object) -> str:
        with pytest.raises(InputError) as caught:
            CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
        return line_of(caught.value)

    def run(*words: object) -> None:
        assert CliRunner().invoke(app, [str(word) for word in words]).exit_code == 0

    assert "input of this command" in refused("calibrate", log, "--out", log)
    assert log.read_text() == before
    numbers, picture = tmp_path / "p.csv", tmp_path / "p.png"
    numbers.write_text("mine")
    for verb in ("pareto", "curves"):
        assert "--force" in refused("plot", verb, "--out", picture)
        assert numbers.read_text() == "mine"
        assert not picture.exists()
    run("plot", "pareto", "--out", picture, "--force")
    run("plot", "curves", "--out", picture)
    times = tmp_path / "times.yaml"
    run("calibrate", log, "--out", times)
    run("calibrate", log, "--out", times)
    times.write_text("box: 9")
    assert "not written by omnicost" in refused("calibrate", log, "--out", times)
