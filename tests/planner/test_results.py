"""Rows, their files, and the recorded tables."""

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from omnicost.annotation import Policy
from omnicost.cost import BUILT_IN, seconds_per_image
from omnicost.errors import InputError, OmnicostError
from omnicost.results import (
    Row,
    TornLineWarning,
    append_row,
    comparable,
    paper_rows,
    parse_row,
    published_baselines,
    read_rows,
    recorded_table,
    require_one_variant,
    to_frame,
)


def row(**changes: object) -> Row:
    values: dict = {
        "dataset": "tiny",
        "policy": {"mask": 0.1, "point": 0.9},
        "seed": 1,
        "variant": "default",
        "config_hash": "abc",
        "ap": 31.5,
        "teacher_miou": 70.0,
        "images": 600,
        "masks": 60,
        "seconds_per_image": 12.5,
        "hours": 2.1,
        "versions": {"torch": "2.14"},
    }
    return parse_row(values | changes)


def test_rows_read_back_equal(tmp_path: Path) -> None:
    """What is appended is read in order, one line a row."""
    path = tmp_path / "rows.jsonl"
    rows = [row(seed=seed) for seed in range(3)]
    for one in rows:
        append_row(path, one)
    assert read_rows(path) == rows
    assert len(path.read_text().splitlines()) == 3


def test_policy_is_plain_json(tmp_path: Path) -> None:
    """A policy is stored as shares by type and read from text as well."""
    path = tmp_path / "rows.jsonl"
    append_row(path, row())
    assert json.loads(path.read_text())["policy"] == {"point": 0.9, "mask": 0.1}
    assert row(policy="mask=0.1,point=0.9") == row()


def test_torn_last_line_is_reported_not_fatal(tmp_path: Path) -> None:
    """A line whose writer died is left out with a warning that names it."""
    path = tmp_path / "rows.jsonl"
    append_row(path, row())
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:-30])
    with pytest.warns(TornLineWarning, match=r"rows.jsonl:2"):
        assert read_rows(path) == [row()]


def test_appending_after_a_torn_line_keeps_the_new_row(tmp_path: Path) -> None:
    """The next writer closes the torn line first."""
    path = tmp_path / "rows.jsonl"
    append_row(path, row(seed=1))
    path.write_bytes(path.read_bytes() + b'{"dataset": "ti')
    append_row(path, row(seed=2))
    with pytest.warns(TornLineWarning):
        assert [one.seed for one in read_rows(path)] == [1, 2]


def test_concurrent_writers_lose_nothing(tmp_path: Path) -> None:
    """Four processes that append at once leave whole lines only."""
    path = tmp_path / "rows.jsonl"
    code = (
        "import json, sys; from omnicost.results import append_row, parse_row\n"
        "data = json.loads(sys.argv[2])\n"
        "for seed in range(25): append_row(sys.argv[1], parse_row(data | {'seed': seed}))"
    )
    data = row(source="x" * 3000).model_dump_json(exclude_none=True)
    command = [sys.executable, "-c", code, str(path), data]
    processes = [subprocess.Popen(command) for _ in range(4)]
    assert [process.wait() for process in processes] == [0] * 4
    assert sorted(one.seed for one in read_rows(path)) == sorted([*range(25)] * 4)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"ap": float("nan")}, "ap is nan"),
        ({"ap": 143.0}, "ap is 143"),
        ({"policy": {"mask": 0.5}}, "shares add to 0.5"),
        ({"policy": 3}, "policy is 3"),
        ({"hours": -1}, "hours is -1"),
        ({"APS": 3}, "APS: unknown field"),
        ({"images": "many"}, "images is 'many'"),
    ],
)
def test_bad_rows_are_named(changes: dict, fault: str) -> None:
    """Each fault of a row names field and value."""
    with pytest.raises(OmnicostError, match=fault):
        row(**changes)


def test_mixed_variants_are_refused_in_one_line() -> None:
    """Rows of two variants, schedules or settings do not stand on one front."""
    for changes in ({"variant": "untuned"}, {"schedule": "short"}, {"config_hash": "xyz"}):
        with pytest.raises(InputError) as error:
            require_one_variant([row(), row(**changes)])
        assert "\n" not in str(error.value)
        assert next(iter(changes.values())) in str(error.value)
    require_one_variant([row(), row(dataset="other", config_hash="xyz", schedule="its own")])


def test_truncated_rows_are_left_out() -> None:
    """A student stopped early does not count."""
    rows = [row(), row(seed=2, truncated=True)]
    assert comparable(rows) == rows[:1]
    with pytest.raises(InputError, match="no finished student"):
        comparable(rows[1:])


def test_frame_has_a_column_a_field() -> None:
    """Rows become a table with the policy as text."""
    frame = to_frame([row(), row(policy={"mask": 1.0})])
    assert frame["policy"].tolist() == ["mask=0.1,point=0.9", "mask=1"]
    assert frame["annotation_type"].tolist() == ["point", "mask"]
    assert frame["mask_share"].tolist() == [0.1, 1.0]
    assert set(Row.model_fields) <= set(to_frame([]).columns)


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
def test_recorded_tables_have_their_size(number: int) -> None:
    """Each table of the paper is whole, with no cell missing but Table 3's."""
    frame = recorded_table(number)
    assert len(frame) == {1: 15, 2: 39, 3: 8, 4: 12, 5: 12}[number]
    assert number == 3 or not frame.isna().any().any()


def test_unknown_table_is_refused() -> None:
    """There are five tables."""
    with pytest.raises(InputError, match="use 1 to 5"):
        recorded_table(6)


def test_table_4_and_2_agree_without_masks() -> None:
    """An untuned teacher without masks is the same student in both tables."""
    two, four = recorded_table(2), recorded_table(4)
    two = two[(two["dataset"] == "coco") & (two["mask_share"] == 0)]
    merged = two.merge(four, on=["dataset", "mask_share", "weak_type"])
    assert len(merged) == 4
    assert (merged["ap_x"] == merged["ap_y"]).all()


@pytest.mark.parametrize("dataset", BUILT_IN)
def test_paper_rows_are_table_2_priced(dataset: str) -> None:
    """13 rows a data set, one variant, priced by the cost model."""
    rows = paper_rows(dataset)
    assert len(rows) == 13
    assert comparable(rows) == rows
    assert len({one.policy for one in rows}) == 13
    for one in rows:
        assert one.seconds_per_image == seconds_per_image(one.policy, BUILT_IN[dataset])
        assert one.masks == round(one.policy.mask_share * one.images)
    assert max(rows, key=lambda one: one.ap).policy == Policy.parse("mask=1")


def test_baselines_have_readable_policies() -> None:
    """Every baseline has an AP and, where one exists, a policy that parses."""
    frame = published_baselines()
    assert isinstance(frame, pd.DataFrame)
    assert frame["ap"].between(10, 50).all()
    policies = [Policy.parse(text) for text in frame["policy"] if text]
    assert len(policies) == len(frame) - 3  # PointSup's box + 10 points is no policy


def test_a_file_of_no_rows_or_other_data_is_named(tmp_path: Path) -> None:
    """Files that are absent, empty or something else give one line that names them."""
    path = tmp_path / "rows.jsonl"
    cases = {
        "": "holds no result rows",
        "policy,ap\n": "rows.jsonl:1: is not a line of JSON",
        "[1]\n": "rows.jsonl:1: is list, not a row",
        '{"ap": 3}\n': "rows.jsonl:1: dataset: missing; add it",
    }
    for content, expected in cases.items():
        path.write_text(content)
        with pytest.raises(OmnicostError) as error:
            read_rows(path)
        assert expected in str(error.value)
        assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="cannot be read"):
        read_rows(tmp_path / "absent.jsonl")
