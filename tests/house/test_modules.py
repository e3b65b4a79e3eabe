"""ARCHITECTURE.md names every module, and a class has a name of its own."""

import ast
from collections import Counter

from places import ROOT

from analysis.modules import PAGE, page


def test_every_module_is_named() -> None:
    """The list of modules is what `make docs` would write, and every module says what it is for."""
    assert PAGE.read_text(encoding="utf-8") == page()
    bare = [line for line in page().splitlines() if line.endswith(("/** ", "` "))]
    assert not bare, "modules without a docstring"


def test_no_class_name_is_defined_twice() -> None:
    """A public class name says which class is meant, whatever the module."""
    found = Counter(
        node.name
        for path in (ROOT / "omnicost").rglob("*.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert [name for name, times in found.items() if times > 1] == []
