"""The last section of ARCHITECTURE.md: every module in one line, the first of its docstring.

``python -m analysis.modules`` writes it; a test fails when it is out of date.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "ARCHITECTURE.md"
HEADING = "## Every module\n"
NOTE = "Generated from the modules' first lines by `make docs`; do not edit below this line.\n"


def section() -> str:
    """The heading and a line for each package and module."""
    return "\n".join([HEADING, NOTE, *_lines(ROOT / "omnicost"), ""])


def _lines(folder: Path, depth: int = 0) -> Iterator[str]:
    for path in sorted(folder.iterdir(), key=lambda each: (each.is_dir(), each.name)):
        indent = "  " * depth
        if (path / "__init__.py").exists():
            yield f"{indent}- **{path.name}/** {_first_line(path / '__init__.py')}"
            yield from _lines(path, depth + 1)
        elif path.suffix == ".py" and not path.stem.startswith("__"):
            yield f"{indent}- `{path.stem}` {_first_line(path)}"


def _first_line(path: Path) -> str:
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return " ".join(text.partition("\n\n")[0].split())


def page() -> str:
    """ARCHITECTURE.md with the section as it should be."""
    return PAGE.read_text(encoding="utf-8").partition(HEADING)[0] + section()


def main() -> None:
    """Write the section anew."""
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
