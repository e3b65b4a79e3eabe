"""What a shell is offered on Tab."""

import pytest

from omnicost.cli.shared.completion import complete_cards, complete_datasets, complete_types


def test_names_that_begin_so() -> None:
    """Data sets and shipped cards by their first letters."""
    assert "coco" in complete_datasets("co")
    assert complete_datasets("x") == []
    assert "demo" in complete_cards("de")


@pytest.mark.parametrize(
    ("typed", "offered", "not_offered"),
    [("", "box", ""), ("box,", "box,mask", "box,box"), ("box,ma", "box,mask", "box,point")],
)
def test_lists_of_types_grow_by_one(typed: str, offered: str, not_offered: str) -> None:
    """What is there stays, and nothing is offered twice."""
    found = complete_types(typed)
    assert offered in found
    assert not_offered not in found
