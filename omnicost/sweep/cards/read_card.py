"""Reading cards: YAML files, what they inherit, and changes from the command line."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from omnicost.errors import ConfigError, InputError, faults_of, on_one_line, short
from omnicost.files import read_bytes
from omnicost.plain_yaml import parse_yaml
from omnicost.resources import shipped
from omnicost.sweep.cards.card import Card, Cell, merged, named, nested, recipe_faults

HEADINGS: Final = ("Claim", "Expect", "Takes", "Run")
MOST_SEEDS: Final = 10_000
SMOKE_IMAGES: Final = 40  # of a split, so that a trial run takes minutes whatever the set
_FILTERS: Final[dict[str, Callable[[Cell], str]]] = {
    "dataset": lambda cell: cell.dataset.name,
    "type": lambda cell: cell.weak_type,
    "seed": lambda cell: str(cell.seed),
    "variant": lambda cell: cell.variant,
}


@dataclass(frozen=True)
class Changes:
    """What the command line changes in a card.

    Args:
        settings: ``path=value`` texts; the value is YAML.
        seeds: a count (``3`` is 0, 1, 2) or a list (``0,7``).
        data: where the data sets' files lie.
        decide: what deciding is told, by field of `card.Decide`; empty keeps what the card says of
            it, None leaves the matter to the card.
    """

    settings: Sequence[str] = ()
    seeds: str | None = None
    smoke: bool = False
    data: Path | None = None
    decide: Mapping[str, Any] | None = None


def load_card(card: str | Path, changes: Changes | None = None) -> Card:
    """A card by name or path, with what it inherits and what the command line changes.

    Raises:
        InputError: if it cannot be found or read.
        ConfigError: with every fault of its content.
    """
    changes = changes or Changes()
    path = find_card(card)
    content = _with_bases(path, ())
    smoke = content.pop("smoke", None) or {}
    if not isinstance(smoke, dict):
        raise ConfigError(path, [f"smoke is {short(smoke)}: write what a trial run changes"])
    if changes.smoke:
        name = f"{content.get('name')}-smoke"  # its rows are kept apart
        content = {**merged(content, smoke), "name": name, "schedule": "smoke"}
        content["datasets"] = _each(content.get("datasets", ()), images=SMOKE_IMAGES)
    content = merged(content, nested(_settings(changes.settings)))
    if changes.seeds is not None:
        content["seeds"] = parse_seeds(changes.seeds)
    if changes.decide is not None:
        said = content.get("decide") or {}
        content["decide"] = {**said, **changes.decide} if isinstance(said, dict) else said
    if changes.data is not None:
        root = str(changes.data.absolute())
        content["datasets"] = _each(content.get("datasets", ()), root=root)
    return _checked(content, path)


def _checked(content: dict[str, Any], path: Path) -> Card:
    faults = list(_unusable_numbers(content))
    if not faults:
        try:
            card = Card.model_validate(content)
        except ValidationError as error:
            raise ConfigError(path, faults_of(error, Card)) from None
        faults = recipe_faults(card)
    if faults:
        raise ConfigError(path, faults)
    return card


def _unusable_numbers(content: Any, path: str = "") -> Iterator[str]:
    """Numbers that no setting can have: NaN, infinities, whole ones beyond 64 bits."""
    if isinstance(content, Mapping):
        for key, value in content.items():
            name = on_one_line(str(key))
            yield from _unusable_numbers(value, f"{path}.{name}" if path else name)
    elif isinstance(content, list):
        for index, value in enumerate(content):
            yield from _unusable_numbers(value, f"{path}.{index}")
    elif isinstance(content, float) and not isfinite(content):
        yield f"{path} is {content}: use a finite number"
    elif isinstance(content, int) and abs(content) >= 2**63:
        yield f"{path} is {short(content)}: use a number that fits 64 bits"


def find_card(card: str | Path) -> Path:
    """The card's file: a path, or the name of a shipped card."""
    text = str(card)
    if text.endswith((".yaml", ".yml")) or "/" in text:
        path = Path(text)
        if not path.is_file():
            raise InputError(path, "no such card", "name a card file or a shipped card")
        return path
    path = shipped("sweeps") / f"{text}.yaml"
    if not path.is_file():
        known = ", ".join(found.stem for found in shipped_cards())
        raise InputError("card", f"no card {text!r}", f"use {known}, or the path of a YAML file")
    return path


def shipped_cards() -> tuple[Path, ...]:
    """Files of the cards that come with omnicost; bases, which only other cards use, left out."""
    return tuple(sorted(shipped("sweeps").glob("*.yaml")))


def header(path: Path) -> dict[str, str]:
    """The headings of a card's opening comment: claim, expectation, duration, command."""
    found: dict[str, str] = {}
    heading = ""
    for line in path.read_text().splitlines():
        if not line.startswith("#"):
            break
        text = line.lstrip("#").strip()
        name, colon, rest = text.partition(":")
        if colon and name in HEADINGS:
            heading, text = name, rest.strip()
        if heading:
            found[heading] = f"{found.get(heading, '')} {text}".strip()
    return found


def only(cells: Iterable[Cell], filters: Sequence[str]) -> tuple[Cell, ...]:
    """The cells that match at least one filter such as ``mask=0.1,type=point``; all without one.

    Raises:
        InputError: on a filter that cannot be read or a selection that is empty.
    """
    tests = [_filter(text) for text in filters]
    kept = tuple(cell for cell in cells if not tests or any(test(cell) for test in tests))
    if not kept:
        raise InputError("`only`", f"{' '.join(filters)!r} selects no cell", "see `dry_run`")
    return kept


def _filter(text: str) -> Callable[[Cell], bool]:
    conditions = [_condition(part, text) for part in text.split(",")]
    return lambda cell: all(condition(cell) for condition in conditions)


def _condition(part: str, text: str) -> Callable[[Cell], bool]:
    name, equals, value = part.strip().partition("=")
    if name == "mask" and equals:
        share = _number(value, text)
        return lambda cell: abs(cell.policy.mask_share - share) < 1e-9
    if name in _FILTERS and equals:
        return lambda cell: _FILTERS[name](cell) == value
    known = ", ".join(("mask", *_FILTERS))
    raise InputError("`only`", f"cannot read {text!r}", f"write name=value with {known}")


def _number(value: str, text: str) -> float:
    try:
        share = float(value)
    except ValueError:
        share = float("nan")
    if not 0 <= share <= 1:
        raise InputError("`only`", f"{text!r}: {value!r} is no share", "use 0 to 1")
    return share


def parse_seeds(text: str) -> list[int]:
    """``3`` is 0, 1, 2; ``0,7`` is 0 and 7."""
    try:
        numbers = [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise InputError("`seeds`", f"cannot read {short(text)}", "write 3 or 0,1,2") from None
    if len(numbers) != 1 or "," in text:
        return numbers
    if not 0 < numbers[0] <= MOST_SEEDS:
        raise InputError("`seeds`", f"are {short(numbers[0])}", f"use 1 to {MOST_SEEDS:,}")
    return list(range(numbers[0]))


def _settings(texts: Sequence[str]) -> dict[str, Any]:
    settings = {}
    for text in texts:
        path, equals, value = text.partition("=")
        if not equals or not path.strip():
            raise InputError("`settings`", f"cannot read {text!r}", "write path=value")
        settings[path.strip()] = parse_yaml(value, f"`settings` {path}", "quote the value")
    return settings


def _each(datasets: Any, **changes: Any) -> list[Any]:
    """Data sets as a card has them, each with changes; what is none is left to be refused."""
    return [merged(each, changes) if isinstance(each, dict) else each for each in named(datasets)]


def _with_bases(path: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    """The card's content laid over that of its `base`, and so on."""
    if path.resolve() in seen:
        raise InputError(path, "inherits from itself", "remove a base")
    content = _read(path)
    base = content.pop("base", None)
    if base is None:
        return content
    return merged(_with_bases(_find_base(str(base), path), (*seen, path.resolve())), content)


def _find_base(base: str, path: Path) -> Path:
    cards = shipped("sweeps")
    is_path = base.endswith((".yaml", ".yml"))
    by_name = (cards / "bases" / f"{base}.yaml", cards / f"{base}.yaml")
    for candidate in (path.parent / base,) if is_path else by_name:
        if os.path.isfile(candidate):  # False, where Path.is_file raises, for names over long
            return candidate
    known = ", ".join(found.stem for found in sorted(cards.rglob("*.yaml")))
    raise InputError(f"{path}: base", f"no card {base!r}", f"use {known} or a path")


def _read(path: Path) -> dict[str, Any]:
    content = parse_yaml(read_bytes(path), path)
    if not isinstance(content, dict):
        raise InputError(path, "is not a mapping", "write `name: ...` and so on")
    return content
