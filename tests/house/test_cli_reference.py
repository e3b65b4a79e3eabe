"""Every verb explains itself, and the generated reference is current."""

import pytest
from places import ROOT

from omnicost.cli.reference import commands, render
from omnicost.cli.shared.verbs import EXAMPLE

REFERENCE = ROOT / "docs" / "cli.md"
VERBS = dict(commands())
NARROW = 78  # what a terminal of 80 columns has left


@pytest.mark.parametrize("name", VERBS)
def test_verb_has_help_and_example(name: str) -> None:
    """Each verb has a help text with an example, each option of it a meaning."""
    command = VERBS[name]
    assert "Example:" in (command.help or ""), f"{name} shows no example"
    assert f"{name}" in command.help, f"the example of {name} does not call it"
    silent = [param.name for param in command.params if not param.help and param.name != "help"]
    assert not silent, f"{name}: {silent} lack help"
    prose, _, example = command.help.partition(EXAMPLE)
    assert all("\n" not in part for part in prose.strip().split("\n\n")), "its lines are broken"
    assert max(map(len, example.splitlines())) <= NARROW, "its example wraps"


@pytest.mark.parametrize("name", VERBS)
def test_verb_offers_json(name: str) -> None:
    """Each verb can print JSON for scripts."""
    assert any("--json" in param.opts for param in VERBS[name].params)


def test_reference_is_current() -> None:
    """docs/cli.md is what `make docs` would write."""
    assert REFERENCE.read_text() == render()
