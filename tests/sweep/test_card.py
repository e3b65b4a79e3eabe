"""Cards: inheritance, changes from the command line, faults."""

from pathlib import Path

import pytest
import yaml

from omnicost.errors import ConfigError, InputError
from omnicost.sweep.cards.card import STAGES, Card, merged, nested
from omnicost.sweep.cards.read_card import SMOKE_IMAGES, Changes, load_card, only, parse_seeds


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


BASE = """
name: base
datasets: toys
grid: {mask_shares: [0, 0.1, 1], types: [none, point]}
recipe: {teacher: {steps: 100, batch_images: 8}}
smoke:
  grid: {mask_shares: [0.1], types: [point]}
  recipe: {teacher: {steps: 1}}
"""


def test_own_card_inherits_and_changes_a_base(tmp_path: Path) -> None:
    """A card of a few lines takes over the rest of its base."""
    write(tmp_path / "base.yaml", BASE)
    own = write(tmp_path / "own.yaml", "base: base.yaml\nname: own\ngrid: {types: [box]}\n")
    card = load_card(own)
    assert card.name == "own"
    assert [str(cell.policy) for cell in card.cells()] == ["box=1", "mask=0.1,box=0.9", "mask=1"]
    assert card.recipe["teacher"] == {"steps": 100, "batch_images": 8}


def test_smoke_and_set_shrink_the_same_card(tmp_path: Path) -> None:
    """--smoke lays the card's own smoke block over it; --set comes last."""
    base = write(tmp_path / "base.yaml", BASE)
    changes = Changes(settings=["recipe.teacher.batch_images=2"], seeds="2", smoke=True)
    card = load_card(base, changes)
    assert len(list(card.cells())) == 2
    assert card.seeds == (0, 1)
    assert card.recipe["teacher"] == {"steps": 1, "batch_images": 2}


def test_data_root_reaches_every_data_set(tmp_path: Path) -> None:
    """--data says where the files of all data sets lie, as an absolute path."""
    card = load_card(write(tmp_path / "base.yaml", BASE), Changes(data=Path("somewhere")))
    assert card.datasets[0].root == Path("somewhere").absolute()


def test_all_faults_are_reported_at_once(tmp_path: Path) -> None:
    """Unknown fields and bad values are all named, each with its value."""
    bad = write(
        tmp_path / "bad.yaml",
        "name: 'a b'\ndatasets: [toys]\nsede: 3\ngrid: {mask_shares: [2], types: [mask]}\n",
    )
    with pytest.raises(ConfigError) as caught:
        load_card(bad)
    text = str(caught.value)
    for part in ("name", "sede: unknown field", "grid.mask_shares.0 is 2", "grid.types"):
        assert part in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("a: [", "is not YAML"),
        ("- 1", "is not a mapping"),
        ("base: nowhere", "no card 'nowhere'"),
        (f"base: {'n' * 400}", "no card"),
        ("base: card.yaml", "inherits from itself"),
        ("name: x\ndatasets: t\ngrid: {policies: [{mask: 0.5}]}", "shares add to 0.5"),
        ("name: x\ndatasets: t\nscheduler: {name: asha}", "two variants"),
    ],
)
def test_unusable_cards_give_one_line(tmp_path: Path, text: str, part: str) -> None:
    """Each broken card gives one line that names the fault."""
    card = write(tmp_path / "card.yaml", text)
    with pytest.raises((InputError, ConfigError), match=part) as caught:
        load_card(card)
    assert "\n" not in str(caught.value)


def test_faults_of_a_recipe_name_card_and_path(tmp_path: Path) -> None:
    """Each once, though several cells have it, with the nearest field that there is."""
    text = "base: tiny\nname: x\nvariants: {a: {}, b: {teacher.steps: 3}}\nrecipe: {teachr: {}}\n"
    with pytest.raises(ConfigError) as caught:
        load_card(write(tmp_path / "card.yaml", text))
    told = f"{tmp_path}/card.yaml: recipe.teachr: unknown field; did you mean teacher?"
    assert str(caught.value) == told


def test_smoke_takes_some_images_of_every_split(tmp_path: Path) -> None:
    """However large the set; a card that says how many has its way but for that."""
    card = write(tmp_path / "card.yaml", "base: tiny\nname: x\ndatasets: [a, {name: b}]\n")
    assert [each.images for each in load_card(card).datasets] == [None, None]
    smoke = load_card(card, Changes(smoke=True))
    assert [each.images for each in smoke.datasets] == [SMOKE_IMAGES] * 2
    assert smoke.datasets[0].validation.images == SMOKE_IMAGES


def test_stages_of_a_card_are_those_there_are() -> None:
    """The names that `resources` may have."""
    from omnicost.sweep.stages.stage_functions import STAGE_KINDS

    assert set(STAGES) == set(STAGE_KINDS)


def test_unknown_card_names_the_known_ones() -> None:
    """A misspelt card is answered with the cards that exist."""
    with pytest.raises(InputError, match="no card 'dmeo'"):
        load_card("dmeo")


def test_axes_and_variants_multiply() -> None:
    """Every axis and variant is a recipe of its own; full masks appear once each."""
    card = Card.model_validate(
        {
            "name": "x",
            "datasets": ["toys"],
            "grid": {"mask_shares": [0.1, 1], "types": ["box"]},
            "recipe": {"teacher": {"steps": 5}},
            "variants": {"tuned": {}, "plain": {"teacher.tune": False}},
            "axes": {"student.steps": [10, 20]},
        }
    )
    cells = list(card.cells())
    assert len(cells) == len({cell.id for cell in cells}) == 8
    assert cells[-1].variant == "plain,student.steps=20"
    assert cells[-1].recipe == {"teacher": {"steps": 5, "tune": False}, "student": {"steps": 20}}
    assert len({cell.group for cell in cells}) == 2


def test_only_selects_cells() -> None:
    """A filter's conditions must all hold; several filters add up; an empty choice is refused."""
    card = Card.model_validate({"name": "x", "datasets": ["toys"], "seeds": [0, 1]})
    assert len(only(card.cells(), ())) == 26
    kept = only(card.cells(), ["mask=0.1,type=point", "type=mask,seed=1"])
    assert [cell.id for cell in kept] == [
        "toys/mask=0.1,point=0.9/seed=0",
        "toys/mask=0.1,point=0.9/seed=1",
        "toys/mask=1/seed=1",
    ]
    for bad in ("type=mask,mask=0.1", "colour=red", "mask=lots"):
        with pytest.raises(InputError, match="`only`"):
            only(card.cells(), [bad])


def test_seeds_as_count_or_list() -> None:
    """3 is a count, a list is itself."""
    assert parse_seeds("3") == [0, 1, 2]
    assert parse_seeds("7,") == [7]
    assert parse_seeds("0,5") == [0, 5]


def test_merging_replaces_lists_and_merges_mappings() -> None:
    """Mappings merge at every depth, lists do not."""
    assert merged({"a": {"b": [1], "c": 2}}, nested({"a.b": [3], "d.e": 4})) == {
        "a": {"b": [3], "c": 2},
        "d": {"e": 4},
    }


def test_schema_is_json() -> None:
    """The card's JSON schema exports, and names every field."""
    schema = Card.model_json_schema()
    assert set(schema["properties"]) == set(Card.model_fields)
    assert yaml.safe_dump(schema)
