"""The paper's numeric claims, held to its tables and the cost model."""

import importlib.util
import sys

import pytest
from places import ROOT

PATH = ROOT / "analysis" / "paper_claims.py"
spec = importlib.util.spec_from_file_location("paper_claims", PATH)
assert spec is not None
assert spec.loader is not None
paper_claims = importlib.util.module_from_spec(spec)
sys.modules["paper_claims"] = paper_claims
spec.loader.exec_module(paper_claims)

INFO = paper_claims.compute_claims_info()


def failing(words: str) -> set[str]:
    return {check.cell for check in INFO if words in check.quote and not check.holds}


def test_savings_of_points_fail_where_the_sentence_names_them() -> None:
    """More than 7x and 50x hold nowhere at 10% masks; >50x needs none, >7x at most 1%."""
    assert failing("larger than 50x") == {
        "coco point 10%",
        "ade20k point 10%",
        "cityscapes point 10%",
        "cityscapes point 1%",
    }
    by_cell = {check.cell: check for check in INFO if "larger than 50x" in check.quote}
    assert by_cell["coco point 10%"].holds_in == ("coco point 0%", "coco point 1%")
    assert by_cell["cityscapes point 10%"].holds_in == ("cityscapes point 0%",)


def test_five_times_holds_at_one_percent_only() -> None:
    """Boxes save 5x at 1% masks on all three, at 10% on Cityscapes alone."""
    assert failing("at least 5 times") == {"coco box 10%", "ade20k box 10%"}


def test_shares_of_full_performance() -> None:
    """Of the shares in the text only ADE20K's 95% for points at 10% does not round there."""
    assert failing("97%, 95% and 89%") == {"ade20k point 10%"}
    for words in ("more than 97%", "around 99%", "96%, 92% and 81%", "73% to 88%", "80% to 94%"):
        assert failing(words) == set(), words


def test_headline_holds_in_one_cell() -> None:
    """95% at 7x is COCO with points and 1% masks, and nothing else."""
    own = [check for check in INFO if check.section == "Abstract"]
    assert [check.holds_in for check in own] == [("coco point 1%",), (), ()]


def test_other_conflicts() -> None:
    """Epochs, AP_L of Tables 2 and 3, and gains without tuning."""
    assert failing("36874 steps") == {"coco, 10% of it"}
    assert failing("same student in both tables") == {"coco box 0%, ap_large"}
    assert len(failing("does not improve")) == 4
    assert failing("improving by over 30%") == set()


def test_found_values_come_from_the_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """With other rows recorded, other claims fail: nothing but the claims is typed in."""
    rows = {name: paper_claims.paper_rows(name) for name in paper_claims.DATASETS}
    halved = {
        name: [
            row.model_copy(update={"ap": row.ap / 2}) if row.mask_share < 1 else row for row in own
        ]
        for name, own in rows.items()
    }
    monkeypatch.setattr(paper_claims, "paper_rows", halved.__getitem__)
    checks = paper_claims.compute_claims_info()
    assert not any(check.holds for check in checks if "more than 97%" in check.quote)


def test_report_lists_every_check(capsys: pytest.CaptureFixture[str]) -> None:
    """The printed list marks each failing cell and counts them."""
    paper_claims.draw_claims(INFO)
    output = capsys.readouterr().out
    failed = sum(not check.holds for check in INFO)
    assert output.count("FAILS") == failed
    assert f"{len(INFO)} checks, {failed} fail" in output
