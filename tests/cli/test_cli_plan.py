"""`omnicost plan` as a person and as a script use it."""

import json
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from omnicost import api
from omnicost.amounts import read_budget, read_currency, read_date, read_hours, read_share
from omnicost.annotation import Policy
from omnicost.campaign.report import Pay, PlanReport
from omnicost.campaign.team import Team
from omnicost.campaign.text import render
from omnicost.cli import app
from omnicost.cli.shared.door import line_of
from omnicost.cost import BUILT_IN
from omnicost.errors import InputError, OmnicostError
from omnicost.plan import Question, make_plan
from omnicost.results import Row, append_row

BASE = ["plan", "--dataset", "coco", "--images", "20000", "--draws", "100"]


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, [*arguments], catch_exceptions=False, env={"COLUMNS": "80"})
    assert result.exit_code == 0, result.output
    return result.output


def refused(*arguments: str) -> str:
    with pytest.raises(OmnicostError) as caught:
        CliRunner().invoke(app, [*arguments], catch_exceptions=False)
    text = line_of(caught.value)
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
        row = Row(dataset="mine", policy=policy, variant="r", ap=ap, images=500,
                  masks=round(500 * share), seconds_per_image=seconds, hours=1.0)  # fmt: skip
        append_row(path, row)
    payload = json.loads(run("plan", "--results", str(path), "--budget", "20h", "--json"))
    assert payload["dataset"] == "mine"
    assert payload["statistics"]["instances_per_image"] == pytest.approx(7.7)
    assert sum(payload["images"].values()) == 500
    mixed = refused("plan", "--results", str(path), "--budget", "9h", "--variant", "other")
    assert "--variant" in mixed


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
        ([*BASE, "--budget", "5h", "--idle", "95%"], "overheads: idle is 0.95"),
        ([*BASE, "--budget", "5h", "--review", "1500%"], "overheads: review is 15.0"),
        ([*BASE, "--budget", "5h", "--setup", "box=long"], "--setup: 'long' is no amount"),
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
    [("500h", 500), ("1,000 h", 1000), ("12000usd", 1000), ("12.5hours", 12.5), ("$12", 1),
     ("12 $", 1), ("3days", 24), ("1_000H", 1000), (".5h", 0.5), ("12USD", 1)],
)  # fmt: skip
def test_budgets(text: str, hours: float) -> None:
    """Hours as they are, days of eight hours, money by the wage."""
    assert read_budget(text, 12) == hours
    assert read_budget("3days", None, hours_a_day=6) == 18
    assert read_budget("24eur", 12, "€") == 2
    assert read_budget("24€", 12, "EUR") == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [("500min", "min"), ("2weeks", "weeks"), ("50%", "share"), ("500eur", "neither hours nor usd"),
     ("12 €", "neither"), ("5x", "neither"), ("1,00h", "no amount"), ("-5h", "no amount"),
     ("h", "no amount"), ("1e3h", "no amount|neither"), ("", "no amount"), ("nan h", "no amount"),
     ("$5usd", "no amount"), ("500", "no unit")],
)  # fmt: skip
def test_other_units_are_refused(text: str, said: str) -> None:
    """Nothing but hours, days and the wage's own currency is read as any of them."""
    with pytest.raises(InputError, match=said):
        read_budget(text, 12)


@pytest.mark.parametrize(("text", "share"), [("95%", 0.95), ("0.95", 0.95), ("100%", 1)])
def test_shares(text: str, share: float) -> None:
    """Percent or a fraction."""
    assert read_share(text) == pytest.approx(share)


@pytest.mark.parametrize("text", ["nan%", "inf", "-3%", "%", "95 percent", "1e-2"])
def test_other_shares_are_refused(text: str) -> None:
    """What is no plain number is no share."""
    with pytest.raises(InputError, match="no share"):
        read_share(text)


def test_currencies_days_and_hours() -> None:
    """A currency is letters or a sign, so that no markup gets into a page; a day is a day."""
    assert read_currency("eur") == "eur"
    for text in ("[red]", "us d", "", "12", "<b>"):
        with pytest.raises(InputError, match="currency"):
            read_currency(text)
    assert str(read_date("2026-12-01", "`start`")) == "2026-12-01"
    with pytest.raises(InputError, match="2026-12-01"):
        read_date("soon", "`start`")
    with pytest.raises(InputError, match="min"):
        read_hours("90min", "`setup`")


def test_bill_and_calendar_from_the_command_line(tmp_path: Path) -> None:
    """Own shares replace the assumed ones, by type too; a team adds when it is done."""
    shares = ["--review", "box=10%,20%", "--rework", "0%", "--idle", "0.05", "--setup", "mask=5h"]
    team = ["--annotators", "2", "--weeks", "8", "--start", "2026-12-01", "--hours-a-week", "30"]
    payload = json.loads(run(*BASE, "--budget", "500h", *shares, *team, "--json"))
    lines = {line["kind"]: line for line in payload["bill"]["types"]}
    assert lines["mask"]["setup"] == 5
    assert lines["mask"]["review"] == pytest.approx(0.2 * lines["mask"]["labelling"])
    assert payload["bill"]["assumed"] == []
    assert payload["bill"]["total_hours"] == pytest.approx(payload["hours"] + 5)
    assert payload["bill"]["total_hours"] <= 500
    calendar = payload["calendar"]
    assert calendar["done"]["expected"] > "2026-12-01"
    assert 0 <= calendar["in_time"] <= 1
    page = run(*BASE, "--budget", "500h", *shares, *team)
    for part in ("Hours go into", "Calendar", "Done", "8 weeks"):
        assert part in page
    assert "--weeks" in refused(*BASE, "--budget", "5h", "--weeks", "3")


def test_an_annotator_s_work_survives_another_plan(tmp_path: Path) -> None:
    """A list that was filled in stays as it is, also where it is what the plan reads."""
    records = [{"id": i, "file_name": f"{i}.jpg", "width": 9, "height": 9} for i in range(20)]
    source, out = tmp_path / "images.json", tmp_path / "out"
    source.write_text(json.dumps({"images": records, "annotations": [],
                                  "categories": [{"id": 1, "name": "cat"}]}))  # fmt: skip
    ask = ["plan", "--dataset", "coco", "--draws", "100", "--types", "box", "--manifest", str(out)]
    run(*ask, "--budget", "2h", "--images", str(source))
    boxes = out / "coco_box.json"
    listed = json.loads(boxes.read_text())
    listed["annotations"] = [
        {"id": i, "image_id": one["id"], "category_id": 1, "bbox": [1, 1, 5, 5], "area": 25,
         "iscrowd": 0, "segmentation": [[1, 1, 6, 1, 6, 6, 1, 6]]}
        for i, one in enumerate(listed["images"])
    ]  # fmt: skip
    boxes.write_text(json.dumps(listed))
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert "filled in" in refused(*ask, "--budget", "3h", "--images", str(source))
    own = ["plan", "--like", "coco,ade20k", "--draws", "100", "--manifest", str(out)]
    told = refused(*own, "--budget", "3h", "--annotations", str(boxes), "--force")
    assert "input of this command" in told
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_assumed_shares_are_said(tmp_path: Path) -> None:
    """Without a word about review, rework or idle time the page says what it assumed."""
    text = " ".join(run(*BASE, "--budget", "500h").split())
    assert "review 15% of labelling" in text
    assert "assumed" in text
    with_times = tmp_path / "times.yaml"
    with_times.write_text("overheads: {box: {idle: 0.3, known: [idle]}, mask: {review: 0.4}}")
    payload = json.loads(run(*BASE, "--budget", "2000h", "--times", str(with_times), "--json"))
    lines = {line["kind"]: line for line in payload["bill"]["types"]}
    assert lines["box"]["idle"] == pytest.approx(0.3 * lines["box"]["hours"])


def test_outputs_replace_nobody_s_file(tmp_path: Path) -> None:
    """A page, a picture or its numbers over somebody's file are refused without --force."""
    ask = [*BASE, "--budget", "500h"]
    for name, option in [("p.html", "--page"), ("p.png", "--plot")]:
        path = tmp_path / name
        path.write_text("mine")
        assert "--force" in refused(*ask, option, str(path))
        assert path.read_text() == "mine"
        run(*ask, option, str(path), "--force")
        run(*ask, option, str(path))
    (tmp_path / "q.csv").write_text("mine")
    assert "q.csv" in refused(*ask, "--plot", str(tmp_path / "q.png"))
    source = tmp_path / "images.json"
    source.write_text('{"images": [{"id": 1, "file_name": "a.jpg"}]}')
    assert "no .html" in refused(*ask, "--page", str(source))


@pytest.mark.parametrize(
    "question", [Question(500.0), Question(target=0.97), Question(500.0, confidence=0.9)]
)
def test_the_page_fits_80_columns(question: Question) -> None:
    """No line is cut or wrapped by force, and every part of the page is there."""
    plan = make_plan(question, BUILT_IN["coco"].with_images(20_000), dataset="coco", draws=100)
    console = Console(width=80, record=True, file=None, highlight=False)
    with console.capture() as captured:
        console.print(render(PlanReport(plan, question, pay=Pay(9.0))))
    page = captured.get()
    assert max(map(len, page.splitlines())) <= 80
    assert "…" not in page
    for part in ("label", "Expect", "Spend", "Regret", "10% more", "Runners-up", "Rests on"):
        assert part in page


def test_the_page_with_bill_and_calendar_fits_80_columns() -> None:
    """Large figures, money and dates included."""
    team = Team(120, 40, weeks=10, start=date(2026, 12, 1))
    report = api.plan(
        "90000h", dataset="cityscapes", images=500_000, wage=12.5, team=team, draws=100
    )
    console = Console(width=80, record=True, file=None, highlight=False)
    with console.capture() as captured:
        console.print(render(report))
    page = captured.get()
    assert max(map(len, page.splitlines())) <= 80
    assert "…" not in page
    for part in ("Hours go into", "Calendar", "2026-12-01", "left at deadline"):
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
