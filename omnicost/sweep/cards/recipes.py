"""The recipes of a card, checked; light: no model is loaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from math import isfinite
from typing import Any

from pydantic import ValidationError

from omnicost.engine.keys import canonical_json
from omnicost.errors import ConfigError, faults_of, on_one_line, short
from omnicost.pipeline.recipe import Recipe
from omnicost.sweep.cards.card import Card, Cell


def recipe_of(cell: Cell) -> Recipe:
    """The cell's recipe, checked.

    Raises:
        ConfigError: with every fault of it.
    """
    return _recipe(canonical_json(dict(cell.recipe)))


@lru_cache(maxsize=256)
def _recipe(text: str) -> Recipe:
    try:
        return Recipe.model_validate_json(text)
    except ValidationError as error:
        raise ConfigError("recipe", faults_of(error, Recipe)) from None


def recipe_faults(card: Card) -> Iterator[str]:
    """What is wrong with the recipes of a card, each fault once, with its path in the card."""
    told: set[str] = set()
    for _, recipe in card.recipes():
        try:
            _recipe(canonical_json(recipe))
        except ConfigError as error:
            yield from (f"recipe.{fault}" for fault in error.faults if fault not in told)
            told.update(error.faults)


def unusable_numbers(content: Any, path: str = "") -> Iterator[str]:
    """Numbers that no setting can have: NaN, infinities, whole ones beyond 64 bits."""
    if isinstance(content, Mapping):
        for key, value in content.items():
            name = on_one_line(str(key))
            yield from unusable_numbers(value, f"{path}.{name}" if path else name)
    elif isinstance(content, list):
        for index, value in enumerate(content):
            yield from unusable_numbers(value, f"{path}.{index}")
    elif isinstance(content, float) and not isfinite(content):
        yield f"{path} is {content}: use a finite number"
    elif isinstance(content, int) and abs(content) >= 2**63:
        yield f"{path} is {short(content)}: use a number that fits 64 bits"
