"""Timed annotations to labelling times."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from places import REAL

from omnicost.annotation import AnnotationType
from omnicost.calibrate import ReadOptions, Timings, calibrate, concatenate, read_timings
from omnicost.calibrate.estimate import _mean_interval, find_idle
from omnicost.cost import LabellingTimes
from omnicost.errors import InputError

TIMING = REAL / "timing"
real = pytest.mark.skipif(not TIMING.exists(), reason="needs real data beside the checkout")


def timings(
    seconds: np.ndarray, label: str = "box", counts: float | np.ndarray = 1.0, who: object = "a"
) -> Timings:
    rows = len(seconds)
    people = np.array([who] * rows if isinstance(who, str) else list(who), dtype=object)
    return Timings(
        np.asarray(seconds, dtype=float),
        np.broadcast_to(np.asarray(counts, dtype=float), (rows,)).copy(),
        np.array([label] * rows, dtype=object),
        people,
        np.full(rows, np.nan),
        np.array(["label"] * rows, dtype=object),
    )


def test_mean_is_seconds_over_annotations() -> None:
    """Several annotations in a row share its time."""
    result = calibrate(timings(np.array([10.0, 30.0, 20.0]), counts=np.array([1.0, 3.0, 2.0])))
    assert result.labels["box"].seconds == pytest.approx(10.0)
    assert result.labels["box"].annotations == 6


def test_idle_rows_are_dropped_and_counted() -> None:
    """A row of an hour among boxes of some ten seconds is idle time; ordinary rows stay."""
    rng = np.random.default_rng(0)
    seconds = np.append(rng.lognormal(2.2, 0.45, 200), 3600.0)
    result = calibrate(timings(seconds))
    assert result.idle["box"].longest_seconds == 3600
    assert 1 <= result.idle["box"].rows <= 4
    assert result.idle["box"].hours == pytest.approx(1.0, abs=0.1)
    kept = calibrate(timings(seconds), drop_idle=False)
    assert kept.idle["box"].rows == 0
    assert kept.labels["box"].seconds > 2 * result.labels["box"].seconds


def test_slow_annotators_are_not_idle() -> None:
    """An annotator who always takes ten times as long is compared to their own median."""
    rng = np.random.default_rng(1)
    seconds = rng.lognormal(2, 0.3, 100) * np.repeat([1.0, 10.0], [80, 20])
    people = np.repeat(["fast", "slow"], [80, 20])
    assert find_idle(timings(seconds, who=people)).sum() == 0
    assert find_idle(timings(seconds)).sum() > 0


def test_identical_rows_are_not_idle() -> None:
    """No spread at all drops nothing."""
    assert not find_idle(timings(np.full(50, 7.0))).any()


def test_bootstrap_interval_covers() -> None:
    """The 95% interval holds the true mean in about 95 of 100 logs."""
    rng = np.random.default_rng(2)
    held = 0
    for _ in range(200):
        seconds = rng.lognormal(-0.08, 0.4, 80) * 7
        low, high = _mean_interval(seconds, np.ones(80), rng)
        held += low <= 7 <= high
    assert 180 <= held <= 198


def test_spread_of_single_annotations_is_found() -> None:
    """The log sd of single rows comes back, whatever the annotators' levels are."""
    rng = np.random.default_rng(3)
    people = np.repeat(["a", "b", "c", "d"], 1000)
    levels = np.repeat([1.0, 2.0, 0.5, 1.5], 1000)
    result = calibrate(timings(rng.lognormal(2, 0.5, 4000) * levels, who=people), drop_idle=False)
    assert result.log_sd["box"] == pytest.approx(0.5, rel=0.05)


def test_spread_between_annotators_replaces_the_assumption() -> None:
    """Many annotators whose levels have log sd 0.4 give a project-wide spread near 0.4."""
    rng = np.random.default_rng(4)
    levels = np.repeat(rng.lognormal(0, 0.4, 60), 60)
    people = np.repeat([f"p{i}" for i in range(60)], 60)
    result = calibrate(timings(rng.lognormal(2, 0.5, 3600) * levels, who=people))
    times = result.labelling_times("test")
    assert times.project_log_sd.box == pytest.approx(0.4, rel=0.25)
    assert times.project_log_sd.measured == ("box",)
    assert times.project_log_sd.mask == 0.3


def test_equal_annotators_have_next_to_no_spread_between() -> None:
    """Sampling noise between equal annotators is not taken for a difference."""
    rng = np.random.default_rng(5)
    people = np.repeat(["a", "b", "c", "d", "e"], 400)
    result = calibrate(timings(rng.lognormal(2, 0.5, 2000), who=people))
    assert result.project_log_sd["box"] < 0.05


def test_few_rows_are_warned_about() -> None:
    """Eight rows of one annotator are weak evidence, and the spreads stay assumptions."""
    result = calibrate(timings(np.linspace(5, 9, 8), label="mask"))
    assert any("only 8 rows" in line for line in result.warnings)
    assert any("stays an assumption" in line for line in result.warnings)
    assert result.log_sd["mask"] == 0.64


def test_yaml_reads_back_with_intervals(tmp_path: Path) -> None:
    """The YAML keeps interval, rows and annotators, and leaves the rest at its default."""
    people = np.repeat(["a", "b"], 30)
    result = calibrate(timings(np.tile(np.linspace(5, 9, 30), 2), who=people))
    path = tmp_path / "times.yaml"
    path.write_text(result.labelling_times("pilot").to_yaml())
    times = LabellingTimes.from_yaml(path)
    assert times == result.labelling_times("pilot")
    assert times.box.measured is not None
    low, high = times.box.measured.interval
    assert low < times.box.seconds < high
    assert set(times.box.annotators) == {"a", "b"}
    assert times.mask == LabellingTimes().mask


def test_further_points_scale_with_the_first() -> None:
    """A timed point sets both point times, at their published ratio."""
    times = calibrate(timings(np.full(40, 4.8), label="point")).labelling_times("pilot")
    assert times.point_first.seconds == 4.8
    assert times.point_further.seconds == pytest.approx(1.8)
    assert "scaled" in times.point_further.source


def label_studio_task(lead_time: object, *types: str, **annotation: object) -> dict:
    results = [{"type": kind, "value": {}} for kind in types]
    return {
        "id": 1,
        "annotations": [
            {"lead_time": lead_time, "result": results, "completed_by": 3} | annotation
        ],
    }


def test_label_studio_export(tmp_path: Path) -> None:
    """Shapes are counted by kind; what cannot be used is left out by reason."""
    tasks = [
        label_studio_task(12.0, "rectanglelabels", "rectanglelabels"),
        label_studio_task(80.0, "polygonlabels", "choices", completed_by={"email": "x@y"}),
        label_studio_task(5.0, "keypointlabels"),
        label_studio_task(9.0, "rectanglelabels", was_cancelled=True),
        label_studio_task(None, "rectanglelabels"),
        label_studio_task(4.0),
        label_studio_task(4.0, "rectangle", "polygon"),
        label_studio_task(3.0, "choices"),
    ]
    path = tmp_path / "export.json"
    path.write_text(json.dumps(tasks))
    found = read_timings(path)
    assert found.labels.tolist() == ["box", "mask", "point", "class"]
    assert found.counts.tolist() == [2, 1, 1, 1]
    assert found.annotators.tolist() == ["3", "x@y", "3", "3"]
    assert dict(found.unused) == {
        "cancelled": 1,
        "without lead_time": 1,
        "with nothing drawn": 1,
        "with several kinds of shape": 1,
    }


def test_a_brush_draws_what_the_task_asks_for(tmp_path: Path) -> None:
    """Strokes time scribbles in tasks for scribbles, masks in all others."""
    asked = ({"data": {"annotation_type": each}} for each in ("scribble", "mask", ["scribble"]))
    tasks = [label_studio_task(9.0, "brushlabels") | each for each in asked]
    path = tmp_path / "export.json"
    path.write_text(json.dumps([*tasks, label_studio_task(9.0, "brush")]))
    found = read_timings(path)
    assert found.labels.tolist() == ["scribble", "mask", "mask", "mask"]
    assert calibrate(found).labelling_times("log").scribble.seconds == 9.0


def test_blank_annotators_are_unknown_ones(tmp_path: Path) -> None:
    """A cell left blank is nobody's name, and makes no decimals of the numbers beside it."""
    path = tmp_path / "log.csv"
    path.write_text("annotator,type,seconds\n7,box,14\n,box,60\n")
    found = read_timings(path)
    assert found.annotators.tolist() == ["7", ""]
    assert ("box", "7") in calibrate(found).annotators
    assert len(read_timings(path, ReadOptions(only=("annotator", "7")))) == 1
    with pytest.raises(InputError, match=r"use one of 7$"):
        read_timings(path, ReadOptions(only=("annotator", "8")))


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_delimited_text(tmp_path: Path, separator: str) -> None:
    """Columns are found by name, whatever separates them."""
    path = tmp_path / "log.csv"
    lines = ["worker,kind,lead_time,count", "ann,box,14,2", "bob,mask,60,1", "bob,mask,,1"]
    path.write_text("\n".join(line.replace(",", separator) for line in lines))
    found = read_timings(path)
    assert found.seconds.tolist() == [14, 60]
    assert found.counts.tolist() == [2, 1]
    assert found.labels.tolist() == ["box", "mask"]
    assert found.annotators.tolist() == ["ann", "bob"]
    assert dict(found.unused) == {"without a time": 1}


def test_text_without_header(tmp_path: Path) -> None:
    """Two columns without names are an image and its seconds."""
    path = tmp_path / "log.txt"
    path.write_text("2007_005509 17.222\n2007_003876 9.185\n")
    assert read_timings(path, ReadOptions(label="point")).seconds.tolist() == [17.222, 9.185]


def test_files_join() -> None:
    """Several logs are one."""
    joined = concatenate([timings(np.array([1.0])), timings(np.array([2.0, 3.0]), label="mask")])
    assert joined.seconds.tolist() == [1, 2, 3]
    assert joined.labels.tolist() == ["box", "mask", "mask"]


@real
def test_real_export_and_its_csv_agree() -> None:
    """The idle row of 952 s goes, and both forms of the log give the same box time."""
    export = calibrate(read_timings(TIMING / "label_studio_export_boxes.json"))
    table = calibrate(read_timings(TIMING / "rabbit_labelstudio_box_lead_time.csv"))
    assert export.idle["box"].longest_seconds == 951.85
    assert export.labels["box"].seconds == pytest.approx(table.labels["box"].seconds)
    assert 8 < export.labels["box"].seconds < 12
    raw = calibrate(read_timings(TIMING / "label_studio_export_boxes.json"), drop_idle=False)
    assert raw.labels["box"].annotations == 126


@real
def test_real_point_times_have_the_published_spread() -> None:
    """All 18,605 point times: mean 10.9 s and log sd 0.64, the default of every time."""
    found = read_timings(TIMING / "pascal_amt_point_times.txt", ReadOptions(label="point"))
    result = calibrate(found, drop_idle=False)
    assert len(found) == 18_605
    assert result.labels["point"].seconds == pytest.approx(10.9, abs=0.05)
    assert result.log_sd["point"] == pytest.approx(0.64, abs=0.005)


@real
def test_real_seconds_per_image_by_method() -> None:
    """One method of a log, with the instances of an image given."""
    options = ReadOptions(label="mask", only=("method", "Manual"), per_row=20)
    found = read_timings(TIMING / "micro_sam_organoids_seconds_per_image.csv", options)
    assert found.seconds.tolist() == [428, 659]
    assert found.counts.tolist() == [20, 20]


# --- overheads and learning


def worked(seconds: np.ndarray, gaps: np.ndarray, who: str = "a") -> Timings:
    """Rows one after the other, each with a gap before it."""
    rows = timings(seconds, who=who)
    return replace(rows, ended=np.cumsum(seconds + gaps))


def test_idle_time_is_the_gaps_inside_sessions() -> None:
    """Two seconds of waiting before boxes of ten are a sixth; a night between is nobody's."""
    gaps = np.full(1000, 2.0)
    gaps[50] = 9 * 3600.0
    found = calibrate(worked(np.full(1000, 10.0), gaps)).overheads[AnnotationType.BOX]
    assert found.idle == pytest.approx(2 / 12, abs=0.005)
    assert found.known == ("idle",)


def test_idle_rows_are_idle_time_too() -> None:
    """What the filter drops beyond a usual row is paid for, up to a break's length."""
    seconds = np.full(1000, 10.0)
    seconds[40] = 1010.0
    found = calibrate(worked(seconds, np.zeros(1000))).overheads[AnnotationType.BOX]
    assert found.idle == pytest.approx(1000 / (9990 + 1000), abs=0.001)


def test_a_log_of_minutes_says_nothing_of_idle_time() -> None:
    """One pause in a quarter of an hour is no habit."""
    assert calibrate(worked(np.full(100, 10.0), np.full(100, 9.0))).overheads == {}


def test_a_log_without_times_of_day_says_nothing_of_idle_time() -> None:
    """Rows dropped as idle alone would be a lower bound that looks like a measurement."""
    assert calibrate(timings(np.full(1000, 10.0))).overheads == {}


def test_review_rework_and_set_up_come_from_their_rows() -> None:
    """As shares of the labelling; a log that has none of an activity leaves the assumption."""
    rows = timings(np.array([100.0, 20.0, 10.0, 3600.0]))
    rows = replace(rows, activities=np.array(["label", "review", "rework", "setup"], dtype=object))
    result = calibrate(rows)
    found = result.overheads[AnnotationType.BOX]
    assert result.labels["box"].seconds == 100
    assert found.review == pytest.approx(20 / 110, abs=1e-4)
    assert found.rework == pytest.approx(0.1)
    assert found.setup_hours == pytest.approx(1.0)
    assert "idle" not in found.known
    times = result.labelling_times("log")
    assert LabellingTimes.from_mapping(yaml.safe_load(times.to_yaml())).overheads == times.overheads


def test_more_review_than_plans_take_is_cut() -> None:
    """Shares over the most that there may be count as that, as idle time does."""
    rows = timings(np.array([1.0, 200.0, 50.0]))
    rows = replace(rows, activities=np.array(["label", "rework", "review"], dtype=object))
    assert calibrate(rows).overheads[AnnotationType.BOX].rework == 10
    rows = replace(rows, activities=np.array(["label", "review", "review"], dtype=object))
    assert calibrate(rows).overheads[AnnotationType.BOX].review == 10


@pytest.mark.parametrize(("extra", "found"), [(1.0, True), (0.0, False)])
def test_learning_is_found_where_there_is_any(extra: float, found: bool) -> None:
    """Twice the time at first, gone after hours, comes back; a level log shows none."""
    rng, done, seconds = np.random.default_rng(4), 0.0, []
    for _ in range(3000):
        seconds.append(10 * rng.lognormal(-0.08, 0.4) * (1 + extra * np.exp(-done / 3600)))
        done += seconds[-1]
    learning = calibrate(worked(np.array(seconds), np.ones(3000))).learning.get("box")
    assert (learning is not None) == found
    if learning is not None:
        assert learning.extra == pytest.approx(1.0, rel=0.35)
        assert 0.5 <= learning.hours <= 2


def test_activities_and_times_of_day_are_read_from_text(tmp_path: Path) -> None:
    """An unknown activity is refused by name."""
    path = tmp_path / "log.csv"
    path.write_text("seconds,type,created_at,activity\n9,box,2026-01-01T00:00:09Z,label\n"
                    "3,box,2026-01-01T00:00:12Z,Review\n")  # fmt: skip
    read = read_timings(path)
    assert read.activities.tolist() == ["label", "review"]
    assert np.diff(read.ended).tolist() == [3.0]
    path.write_text("seconds,type,activity\n9,box,lunch\n")
    with pytest.raises(InputError, match="lunch"):
        read_timings(path)


def test_a_log_that_is_a_pipe_is_refused_before_it_hangs(tmp_path: Path) -> None:
    """A log is read twice, which a pipe cannot give; without a writer it would never end."""
    os.mkfifo(tmp_path / "log")
    with pytest.raises(InputError, match="is a FIFO, a socket or a device"):
        read_timings(tmp_path / "log")
