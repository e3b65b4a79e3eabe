"""The page: one file, readable without script, escaped, and fitting its window and A4."""

import html.parser
import json
import re
import shutil
import subprocess
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from PIL import Image

from omnicost import api
from omnicost.campaign.html import notebook_html, page_html, sample, thumbnail, write_page
from omnicost.campaign.report import PlanReport
from omnicost.campaign.team import Team
from omnicost.cost import Interval

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> PlanReport:
    """A plan with everything on its page, and file names that are markup."""
    folder = tmp_path_factory.mktemp("photos")
    for index in range(30):
        Image.new("RGB", (40, 30), (8 * index, 90, 120)).save(folder / f"{index:02d}.jpg")
    Image.new("RGB", (40, 30)).save(folder / "<img src=x onerror=alert(1)> & 'x'.jpg")
    team = Team(2, 40, weeks=1, start=date(2026, 12, 1))
    return api.plan(
        "4h", dataset="coco", images=folder, wage=9, currency="eur", team=team, draws=100
    )


class Reader(html.parser.HTMLParser):
    """Tags, attributes and the text outside of scripts and styles."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.text, self.silent = "", ""

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self.silent = tag

    def handle_endtag(self, tag: str) -> None:
        self.silent = "" if tag == self.silent else self.silent

    def handle_data(self, data: str) -> None:
        self.text += "" if self.silent else data


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    return reader


def test_the_page_says_all_without_script(report: PlanReport) -> None:
    """Plan, bill, calendar, grounds: everything stands in the document itself."""
    text = " ".join(read(page_html(report)).text.split())
    for part in (
        "31 images: the most AP for 4 h",
        "Who gets which label", "What to expect", "Where the hours go", "Calendar",
        "What it rests on", "of full", "eur", "1 week",
    ):  # fmt: skip
        assert part in text


def test_the_page_is_one_file(report: PlanReport) -> None:
    """Nothing is loaded from anywhere: pictures are data, and the policy forbids the rest."""
    page = page_html(report)
    reader = read(page)
    for _, attributes in reader.tags:
        for name in ("src", "href", "action", "srcset"):
            assert str(attributes.get(name, "data:")).startswith("data:")
    assert not re.search(r"url\(|@import|https?:", page)
    policies = [a["content"] for _, a in reader.tags if a.get("http-equiv")]
    assert policies[0].startswith("default-src 'none'")


def test_centuries_have_ticks(report: PlanReport) -> None:
    """A plan that nobody lives to see is drawn all the same."""
    assert report.calendar is not None
    far = tuple(one._replace(ends_interval=Interval(9e4, 3e5)) for one in report.calendar.types)
    assert "100000" in page_html(replace(report, calendar=report.calendar._replace(types=far)))


def test_names_are_text(report: PlanReport) -> None:
    """A file name that is markup is shown, not run."""
    shown = [one for one in sample(report, most=200) if "onerror" in one["name"]]
    assert shown
    page = page_html(report).replace(sample(report)[-1]["name"], "")
    assert "<img src=x" not in page
    tags = [tag for tag, _ in read(page_html(report)).tags]
    assert tags.count("script") == 2
    assert "script" not in [tag for tag, _ in read(notebook_html(report)).tags]
    assert report._repr_html_() == notebook_html(report)


def test_the_slider_s_plans_are_the_front(report: PlanReport) -> None:
    """Shares of each budget's plan add up, and budgets rise."""
    found = re.search(r'id="omnicost-front">(.*?)</script>', page_html(report), re.S)
    front = json.loads(found[1])
    assert len(front) > 20
    assert [one["x"] for one in front] == sorted(one["x"] for one in front)
    for one in front:
        assert sum(part["share"] for part in one["shares"]) == pytest.approx(100, abs=0.01)


def test_a_sample_shows_every_type_and_skips_what_is_no_picture(tmp_path: Path) -> None:
    """A torn file is left out; without a folder there is nothing to show."""
    (tmp_path / "torn.jpg").write_bytes(b"\xff\xd8\xff")
    assert thumbnail(tmp_path / "torn.jpg") is None
    counted = api.plan("4h", dataset="coco", images=30, draws=100)
    assert sample(counted) == []
    assert "Some of the pictures" not in page_html(counted)


def run_chromium(folder: Path, *arguments: str) -> str:
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={folder / 'profile'}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    return done.stdout


PROBE = """<script>
const slider = document.getElementById("omnicost-budget"), root = document.documentElement;
root.dataset.overflow = root.scrollWidth - window.innerWidth;
root.dataset.shown = !document.getElementById("omnicost-slider").hidden;
slider.value = 0; slider.dispatchEvent(new Event("input"));
root.dataset.first = document.getElementById("omnicost-said").textContent;
slider.value = slider.max; slider.dispatchEvent(new Event("input"));
root.dataset.last = document.getElementById("omnicost-said").textContent;
const wide = [...document.querySelectorAll(".omnicost *")].filter(
  one => !one.closest(".scroll") && one.getBoundingClientRect().right > window.innerWidth + 1);
root.dataset.wide = wide.length;
</script></body>"""


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
@pytest.mark.parametrize("width", [500, 900, 1600])
def test_the_page_in_a_browser(report: PlanReport, tmp_path: Path, width: int) -> None:
    """It fits the window at three widths, and its slider moves the plan."""
    path = tmp_path / "plan.html"
    path.write_text(page_html(report).replace("</body>", PROBE), encoding="utf-8")
    window = f"--window-size={width},900"
    document = run_chromium(tmp_path, window, "--dump-dom", path.as_uri())
    data = dict(re.findall(r'data-(\w+)="([^"]*)"', document.split(">", 2)[1]))
    assert int(data["overflow"]) <= 0
    assert data["wide"] == "0"
    assert data["shown"] == "true"
    assert "100.0% of full" in data["last"]
    assert data["first"] != data["last"]


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_the_page_prints(report: PlanReport, tmp_path: Path) -> None:
    """On A4, a few pages."""
    path = write_page(report, tmp_path / "plan.html")
    out = tmp_path / "plan.pdf"
    run_chromium(tmp_path, "--no-pdf-header-footer", f"--print-to-pdf={out}", path.as_uri())
    document = out.read_bytes()
    assert 1 <= len(re.findall(rb"/Type\s*/Page\b", document)) <= 5
    box = re.search(rb"/MediaBox\s*\[0 0 ([\d.]+) ([\d.]+)\]", document)
    assert [round(float(side)) for side in box.groups()] == [595, 842]
