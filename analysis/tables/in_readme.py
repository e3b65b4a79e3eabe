"""The tiny Table 2 in the README; ``python -m analysis.tables.in_readme`` writes it there.

Only cards that have rows are shown, each with its command.
"""

from __future__ import annotations

from typing import Final

from analysis.recorded import HERE, TINY_SETS, Cells, Results, cells_of, markdown
from analysis.tables.table2 import frame
from omnicost.errors import InputError

README: Final = HERE.parent / "README.md"
BEGIN: Final = "<!-- made by `python -m analysis.tables.in_readme` -->\n"
END: Final = "<!-- end -->\n"
CARDS: Final = ("demo", *TINY_SETS)


def section(results: Results) -> str:
    """The table of the cards that have rows, as Markdown; nothing if none has."""
    columns: dict[str, Cells] = {card: cells_of(results.students(card)) for card in CARDS}
    columns = {card: cells for card, cells in columns.items() if cells}
    if not columns:
        return ""
    table = frame(columns)
    measured = (table[list(columns)] != "-").any(axis=1)
    seeds = {
        card: max(len(cell.values) for cell in cells.values()) for card, cells in columns.items()
    }
    told = "; ".join(f"`omnicost sweep {card}` ({n} seeds)" for card, n in seeds.items())
    return (
        f"{markdown(table[measured])}\n\n"
        "*AP of the students, mean and standard deviation over seeds, in brackets the share of "
        f"full supervision. Rows by {told}.*\n"
    )


def put(readme: str, text: str) -> str:
    """The README with the section's text in place of what stands between its marks."""
    if BEGIN not in readme or END not in readme:
        raise InputError(
            README.name, "has no place for the tiny table", f"add {BEGIN!r} and {END!r}"
        )
    before, rest = readme.split(BEGIN, 1)
    return before + BEGIN + text + END + rest.split(END, 1)[1]


def main() -> None:
    """Write the section."""
    README.write_text(put(README.read_text(), section(Results())))
    print(f"wrote {README}")


if __name__ == "__main__":
    main()
