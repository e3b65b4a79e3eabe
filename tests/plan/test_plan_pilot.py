"""What to measure first: which images, what it costs, what it decides, and what comes next."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from omnicost.annotation import AnnotationType
from omnicost.cli import app
from omnicost.cli.pilot import card_text
from omnicost.cost import BUILT_IN, ORDER, Overheads, type_seconds
from omnicost.errors import InputError
from omnicost.labelling import assign
from omnicost.plan.pilot import make_pilot

COCO = BUILT_IN["coco"].with_images(5_000)
MASK = AnnotationType.MASK.strength


def chosen(count: int, seed: int = 0) -> np.ndarray:
    images = np.zeros(len(ORDER), np.int64)
    images[[0, MASK]] = 5_000 - count, count
    return assign(images, seed)


def run(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["pilot", *arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_it_costs_its_masks() -> None:
    """A hundred masked images at mean times, with review and idle time where they are paid."""
    pilot = make_pilot(chosen(100), COCO)
    assert pilot.count == 100
    assert pilot.hours == pytest.approx(100 * type_seconds(COCO)[MASK] / 3600)
    low, high = pilot.hours_interval
    assert low < pilot.hours < high
    paid = make_pilot(chosen(100), COCO, overheads={AnnotationType.MASK: Overheads()})
    assert paid.hours > pilot.hours


def test_it_narrows_what_is_believed() -> None:
    """Of every type that other data sets have, the interval after it is narrower."""
    for one in make_pilot(chosen(100), COCO).beliefs:
        assert one.then.high - one.then.low < 0.8 * (one.now.high - one.now.low)


def test_its_images_are_the_first_masks_of_later_plans() -> None:
    """Nothing of a pilot is lost: any plan of that seed with as many masks has its images."""
    later = assign(np.bincount(chosen(300), minlength=len(ORDER)))
    assert (later[chosen(100) == MASK] == MASK).all()
    assert (chosen(100, seed=1) != chosen(100)).any()


def test_too_few_images_are_refused() -> None:
    """Ten pictures tell nothing; more than there are cannot be had."""
    with pytest.raises(InputError, match="count"):
        make_pilot(chosen(10), COCO)
    with pytest.raises(InputError, match="count"):
        run("--images", "50", "--dataset", "coco")
    done = CliRunner().invoke(app, ["pilot", "--images", "500", "--dataset", "coco", "--count=-5"])
    assert done.exit_code == 2
    assert "greater than or equal to 1" in done.output


def test_the_command_writes_tasks_and_a_card_that_loads(tmp_path: Path) -> None:
    """List, tasks and card are there; the card measures teachers on three shares."""
    pictures, out = tmp_path / "pictures", tmp_path / "pilot"
    pictures.mkdir()
    for index in range(60):
        (pictures / f"{index:02}.jpg").write_bytes(b"")
    options = ["--images", str(pictures), "--dataset", "coco", "--count", "30", "--out", str(out)]
    told = json.loads(run(*options, "--wage", "9", "--json"))
    assert told["money"] == pytest.approx(9 * told["hours"])
    with (out / "manifest.csv").open() as file:
        masks = [row for row in csv.DictReader(file) if row["annotation_type"] == "mask"]
    assert len(masks) == 30
    assert len(json.loads((out / "label_studio_mask.json").read_text())) == 30
    from omnicost.sweep.cards.read_card import Changes, load_card

    card = load_card(str(out / "pilot.yaml"), Changes())
    assert card.measure == "teacher"
    assert card.grid.mask_shares == (0, 0.25, 0.5)
    assert "labelled" in str(card.datasets[0].root)
    assert card.datasets[0].train == "all"  # every picture of the pilot counts
    with pytest.raises(InputError, match=r"pilot\.yaml"):
        run(*options)


def test_the_page_says_what_comes_next() -> None:
    """Hours, what is believed before and after, and the three steps."""
    page = run("--images", "5000", "--dataset", "coco", "--wage", "9")
    for part in (
        "Masks on 100 of 5,000 images",
        "230 usd",
        "Nothing is written yet",
        "worth today",
        "omnicost sweep",
        "--in-hand",
    ):
        assert part in page


def test_a_card_of_any_folder_can_be_read(tmp_path: Path) -> None:
    """Names with what YAML means something by are names."""
    from omnicost.sweep.cards.read_card import load_card

    folder = tmp_path / "a, b: {c} 'd' # [e]"
    folder.mkdir()
    (folder / "pilot.yaml").write_text(card_text(folder))
    assert load_card(folder / "pilot.yaml").datasets[0].root == folder / "labelled"
    assert card_text(Path("pilot")).startswith("# Claim:")
