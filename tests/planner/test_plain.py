"""What others wrote, read and shown as plain data and plain text."""

from __future__ import annotations

import io
from datetime import date
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from omnicost.cli.shared.output import new_console
from omnicost.errors import InputError
from omnicost.plain_text import plain_cell, text_of_cell, visible
from omnicost.plain_yaml import MOST_VALUES, parse_yaml
from omnicost.plot.style import save_numbers

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(PLAIN)
def test_what_yaml_writes_is_read_back(data: object) -> None:
    """Plain data survives; dates alone become text."""
    assert parse_yaml(yaml.safe_dump(data), "here") == data


def test_a_date_is_text() -> None:
    """No field of ours is a date; a data set may be named by one."""
    assert parse_yaml("on: 2026-01-01", "here") in ({"on": "2026-01-01"}, {True: "2026-01-01"})
    assert parse_yaml(yaml.safe_dump([date(2026, 1, 1)]), "here") == ["2026-01-01"]


def test_anchors_and_merges_stand_for_what_they_name() -> None:
    """An alias, and `<<`, as far as they stay finite."""
    assert parse_yaml("a: &x {b: 1}\nc: *x", "here") == {"a": {"b": 1}, "c": {"b": 1}}
    assert parse_yaml("a: &x {b: 1}\nc: {<<: *x, d: 2}", "here")["c"] == {"b": 1, "d": 2}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: 1\nb: 2\na: 3", "line 3: the key 'a' occurs twice"),
        ("- {b: 1, b: 1}", "line 1: the key 'b' occurs twice"),
        ("a: &x [*x]", "line 1: an alias refers to what contains it"),
        ("[" * 3000, "nested too deeply"),
        ("a: !!python/name:os.system", "could not determine a constructor"),
        ("a: !!binary aGk=", "could not determine a constructor"),
        ("a: " + "1" * 5000, "is not YAML"),
        ("a: [", "line 1"),
        (b"\xff", "is not YAML"),
    ],
)
def test_what_is_no_plain_data_is_refused(text: str | bytes, told: str) -> None:
    """One line that names the place."""
    with pytest.raises(InputError) as caught:
        parse_yaml(text, "card.yaml")
    assert told in str(caught.value)
    assert str(caught.value).startswith("card.yaml: ")
    assert "\n" not in str(caught.value)


def test_aliases_that_multiply_are_refused_at_once() -> None:
    """A kilobyte that stands for a billion values never becomes them."""
    lines = ["a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    names = "abcdefghij"
    for before, name in pairwise(names):
        lines.append(f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]")
    with pytest.raises(InputError, match=f"more than {MOST_VALUES:,} values"):
        parse_yaml("\n".join(lines), "here")


@settings(deadline=None)
@given(st.text())
def test_shown_text_steers_nothing(text: str) -> None:
    """No escape, no override of direction, no half of a surrogate pair; the rest stays."""
    shown = visible(text)
    shown.encode()
    assert not {"\x1b", "\x00", "\r", "\u202e", "\u2066"} & set(shown)
    assert visible(shown) == shown
    if text.isprintable():
        assert shown == text


def test_the_console_shows_names_and_obeys_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither markup nor escapes nor a turned line, in tables, titles and lines."""
    from rich.table import Table

    out = new_console()
    out.file = io.StringIO()
    table = Table("[/]head\x1b[2J", title="\u202etitle")
    table.add_row("[red]\x1b]0;x\x07")
    out.print(table)
    out.print("\x1b[31mline")
    written = out.file.getvalue()
    assert not {"\x1b", "\x07", "\u202e"} & set(written)
    for part in ("[/]head", r"\x1b[2J", r"\u202etitle", "[red]", r"\x1b[31mline"):
        assert part in written


def test_no_cell_of_a_table_is_a_formula(tmp_path: Path) -> None:
    """A spreadsheet opens the numbers of a plot without running a name."""
    table = pd.DataFrame({"name": ["=cmd|'/c calc'!A0", "-1", "cat"], "ap": [-1.5, 2, 3]})
    written = save_numbers(table, tmp_path / "a.png").read_text()
    assert "'=cmd" in written
    assert "'-1," in written
    assert ",-1.5" in written
    assert plain_cell("@x") == "'@x"
    for name in ("a", "=a", "'a", "''a", "'=a"):
        assert text_of_cell(plain_cell(name)) == name
    assert text_of_cell("'a") == "'a", "as manifests of 0.3 have it"
