"""ARCHITECTURE.md names every module."""

from analysis.modules import PAGE, page


def test_every_module_is_named() -> None:
    """The list of modules is what `make docs` would write, and every module says what it is for."""
    assert PAGE.read_text(encoding="utf-8") == page()
    bare = [line for line in page().splitlines() if line.endswith(("/** ", "` "))]
    assert not bare, "modules without a docstring"
