"""`omnicost plan` as a person and as a script use it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from omnicost.annotation import Policy
from omnicost.cli import app
from omnicost.cli.plan import read_budget, read_share
from omnicost.cost import BUILT_IN
from omnicost.errors import InputError
from omnicost.plan import Question, make_plan
from omnicost.plan.page import Pay, render
from omnicost.results import Row, append_row

BASE = ["plan", "--dataset", "coco", "--images", "20000", "--draws", "100"]


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, [*arguments], catch_exceptions=False, env={"COLUMNS": "80"})
    assert result.exit_code == 0, result.output
    return result.output


def refused(*arguments: str) -> str:
    with pytest.raises(InputError) as caught:
        CliRunner().invoke(app, [*arguments], catch_exceptions=False)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_the_command_of_the_readme(tmp_path: Path) -> None:
    """A count, a budget and a manifest: a page, and files with places for ids, which it says."""
    output = run(*BASE, "--budget", "500h", "--manifest", str(tmp_path / "out"))
    assert "the most AP for 500 h" in output
    assert "places from 1" in output
    lines = (tmp_path / "out" / "manifest.csv").read_text().splitlines()
    assert len(lines) == 20_001
    assert lines[0] == "image_id,annotation_type"


def test_json_agrees_with_the_manifest(tmp_path: Path) -> None:
    """Numbers for scripts are those of the files, in money too."""
    out = tmp_path / "out"
    budget = ["--budget", "4500usd", "--wage", "9"]
    payload = json.loads(run(*BASE, *budget, "--json", "--manifest", str(out)))
    assert payload["question"]["budget_hours"] == 500
    assert payload["money"] == pytest.approx(9 * payload["hours"])
    counted = (out / "manifest.csv").read_text().count(",mask\n")
    assert payload["images"]["mask"] == counted
    assert str(out / "manifest.csv") in payload["written"]


def test_options_reach_the_plan(tmp_path: Path) -> None:
    """Types, limits, confidence and a picture."""
    picture = tmp_path / "plan.png"
    options = ["--budget", "30h", "--types", "point,mask", "--max-hours", "mask=3"]
    small = ["plan", "--dataset", "coco", "--images", "500", "--draws", "100"]
    payload = json.loads(run(*small, *options, "--plot", str(picture), "--json"))
    assert payload["images"]["box"] == 0
    assert payload["images"]["mask"] * payload["seconds_per_image"]["mask"] <= 3 * 3600
    assert picture.read_bytes().startswith(b"\x89PNG")
    sure = json.loads(run(*small, "--budget", "30h", "--confidence", "0.9", "--json"))
    assert sure["risk"]["p90_hours"] <= 30


def test_results_of_an_own_sweep(tmp_path: Path) -> None:
    """A results file alone is enough: it names its data set and gives away its statistics."""
    path = tmp_path / "rows.jsonl"
    stats = BUILT_IN["coco"]
    from omnicost.cost import seconds_per_image

    for weak, share, ap in [("box", 0, 36), ("box", 0.1, 41), ("class", 0, 30), ("mask", 1, 45)]:
        policy = Policy.cell(weak, share)
        seconds = seconds_per_image(policy, stats)
        row = Row(dataset="mine", policy=policy, recipe="r", ap=ap, images=500,
                  masks=round(500 * share), seconds_per_image=seconds, hours=1.0)  # fmt: skip
        append_row(path, row)
    payload = json.loads(run("plan", "--results", str(path), "--budget", "20h", "--json"))
    assert payload["dataset"] == "mine"
    assert payload["statistics"]["instances_per_image"] == pytest.approx(7.7)
    assert sum(payload["images"].values()) == 500
    mixed = refused("plan", "--results", str(path), "--budget", "9h", "--recipe", "other")
    assert "--recipe" in mixed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([*BASE], "--budget, --target"),
        ([*BASE, "--budget", "500"], "500h"),
        ([*BASE, "--budget", "much"], "no amount"),
        ([*BASE, "--budget", "500usd"], "--wage"),
        ([*BASE, "--target", "95"], "95%"),
        ([*BASE, "--target", "most"], "no share"),
        ([*BASE, "--target", "95%", "--types", "class"], "out of reach"),
        ([*BASE, "--budget", "5h", "--types", "polygon"], "unknown annotation type"),
        ([*BASE, "--budget", "5h", "--max-hours", "mask"], "mask=100"),
        ([*BASE, "--budget", "5h", "--confidence", "2"], "--confidence"),
        ([*BASE, "--budget", "5h", "--plot", "plan.doc"], "picture format"),
        ([*BASE, "--budget", "5h", "--like", "coco"], "two or more"),
        (["plan", "--dataset", "lvis", "--budget", "5h"], "lvis"),
        (["plan", "--budget", "5h"], "--dataset"),
        (["plan", "--dataset", "coco", "--images", "nowhere", "--budget", "5h"], "nowhere"),
    ],
)
def test_bad_options_are_one_line(arguments: list[str], message: str) -> None:
    """Each names the option, the value and what to do instead."""
    assert message in refused(*arguments)


@pytest.mark.parametrize(
    ("text", "hours"),
    [("500h", 500), ("1,000 h", 1000), ("12000usd", 1000), ("12.5hours", 12.5), ("12 €", 1)],
)
def test_budgets(text: str, hours: float) -> None:
    """Hours as they are, money by the wage."""
    assert read_budget(text, 12) == hours


@pytest.mark.parametrize(("text", "share"), [("95%", 0.95), ("0.95", 0.95), ("100%", 1)])
def test_shares(text: str, share: float) -> None:
    """Percent or a fraction."""
    assert read_share(text) == pytest.approx(share)


@pytest.mark.parametrize(
    "question", [Question(500.0), Question(target=0.97), Question(500.0, confidence=0.9)]
)
def test_the_page_fits_80_columns(question: Question) -> None:
    """No line is cut or wrapped by force, and every part of the page is there."""
    plan = make_plan(question, BUILT_IN["coco"].with_images(20_000), dataset="coco", draws=100)
    console = Console(width=80, record=True, file=None, highlight=False)
    with console.capture() as captured:
        console.print(render(plan, Pay(9.0)))
    page = captured.get()
    assert max(map(len, page.splitlines())) <= 80
    assert "…" not in page
    for part in ("label", "Expect", "Spend", "Regret", "10% more", "Runners-up", "Rests on"):
        assert part in page


def test_planning_loads_neither_torch_nor_ray() -> None:
    """The whole command runs on the base install's packages."""
    heavy = "{'torch', 'ray', 'transformers', 'torchvision'}"
    code = (
        "import sys; from omnicost.cli import app\n"
        f"try: app({[*BASE, '--budget', '500h']!r})\n"
        f"except SystemExit: sys.exit(', '.join({heavy} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
