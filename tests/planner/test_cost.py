"""Labelling times, statistics, seconds per image, spread and prices."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnicost.annotation import PAPER_TYPES, WEAK_TYPES, AnnotationType, Policy, listed
from omnicost.cost import (
    ALTERNATIVES,
    BUILT_IN,
    ORDER,
    DatasetStats,
    LabellingTimes,
    arithmetic,
    dataset_stats,
    hours,
    saving,
    seconds_per_image,
    type_seconds,
)
from omnicost.cost.seconds import PAYS, counts
from omnicost.cost.times import CONSTANTS, ProjectSpread
from omnicost.errors import InputError, OmnicostError
from omnicost.results import recorded_table

TIMES = LabellingTimes()
C = len(CONSTANTS)
MASK = AnnotationType.MASK.strength
TABLE_1 = recorded_table(1).to_dict("records")
# FACTS of the decomposition: saving over masks at 0%, 1% and 10% masks.
SAVINGS = {
    "coco": {"class": (8.6, 8.0, 4.9), "point": (7.7, 7.2, 4.6), "box": (5.3, 5.0, 3.7)},
    "ade20k": {"class": (8.6, 8.0, 4.9), "point": (7.8, 7.3, 4.6), "box": (5.3, 5.0, 3.7)},
    "cityscapes": {"class": (168, 63, 9.5), "point": (54, 35, 8.6), "box": (10.9, 9.9, 5.5)},
}


@st.composite
def statistics(draw: st.DrawFn) -> DatasetStats:
    classes = draw(st.integers(1, 2000))
    c = draw(st.floats(0, classes))
    n = c + draw(st.floats(0, 500))
    return DatasetStats(
        name="any", images=1000, classes=classes, classes_per_image=c, instances_per_image=n
    )


@pytest.mark.parametrize("row", TABLE_1, ids=lambda r: f"{r['dataset']}-{r['annotation_type']}")
def test_table_1_from_statistics_and_times(row: dict) -> None:
    """All 15 entries of Table 1 come out within 0.05 s from K, c, n and the times alone."""
    kind = AnnotationType(row["annotation_type"])
    seconds = seconds_per_image(kind, dataset_stats(row["dataset"]))
    assert abs(seconds - row["seconds_per_image"]) <= 0.05


def test_table_1_has_15_entries() -> None:
    """Five types on three data sets."""
    assert len(TABLE_1) == 15


@pytest.mark.parametrize("dataset", SAVINGS)
@pytest.mark.parametrize("kind", ["class", "point", "box"])
@pytest.mark.parametrize(("column", "share"), [(0, 0.0), (1, 0.01), (2, 0.1)])
def test_published_savings(dataset: str, kind: str, column: int, share: float) -> None:
    """Each saving over masks rounds to the recorded one."""
    expected = SAVINGS[dataset][kind][column]
    value = saving(Policy.cell(kind, share), BUILT_IN[dataset])
    assert round(value, 0 if expected >= 30 else 1) == expected


def test_fitted_statistics_say_so() -> None:
    """c and n of ADE20K and Cityscapes are marked as fitted to Table 1, COCO's are not."""
    assert [BUILT_IN[name].fitted for name in ("coco", "ade20k", "cityscapes")] == [0, 1, 1]
    assert "fitted to Table 1" in BUILT_IN["ade20k"].source
    assert [stats.images for stats in BUILT_IN.values()] == [118_287, 20_210, 2_975]


@given(statistics())
def test_stronger_types_never_cost_less(stats: DatasetStats) -> None:
    """With the default times, cost never falls along none < class < point < box < mask."""
    seconds = type_seconds(stats)[[kind.strength for kind in PAPER_TYPES]]
    assert (np.diff(seconds) >= -1e-9 * seconds.max()).all()


@given(statistics(), st.lists(st.floats(0, 300), min_size=C, max_size=C))
def test_arithmetic_adds_up(stats: DatasetStats, seconds: list[float]) -> None:
    """The printed terms sum to the seconds, and the scalar and vector forms agree."""
    times = LabellingTimes.from_mapping(dict(zip(CONSTANTS, seconds, strict=True)))
    vector = type_seconds(stats, times)
    for kind in ORDER:
        terms = arithmetic(kind, stats, times)
        total = sum(term.annotations * term.seconds for term in terms)
        assert total == pytest.approx(vector[kind.strength], rel=1e-9, abs=1e-9)
        assert seconds_per_image(kind, stats, times) == vector[kind.strength]


@given(statistics(), st.floats(0, 1), st.sampled_from(WEAK_TYPES))
def test_cost_of_a_cell_is_a_mixture(
    stats: DatasetStats, share: float, weak: AnnotationType
) -> None:
    """f of the images cost masks, the others the weak type."""
    full, rest = (seconds_per_image(kind, stats) for kind in (AnnotationType.MASK, weak))
    cost = seconds_per_image(Policy.cell(weak, share), stats)
    assert cost == pytest.approx(share * full + (1 - share) * rest, rel=1e-9, abs=1e-9)


@given(st.floats(0.01, 100))
def test_cost_is_linear_in_times(factor: float) -> None:
    """Times twice as long cost twice as much."""
    scaled = {name: getattr(TIMES, name).seconds * factor for name in CONSTANTS}
    times = LabellingTimes.from_mapping(scaled)
    coco = BUILT_IN["coco"]
    np.testing.assert_allclose(type_seconds(coco, times), factor * type_seconds(coco), rtol=1e-12)


def test_hours() -> None:
    """3,600 seconds are an hour."""
    assert hours(5400) == 1.5


def test_formulas_are_those_of_the_counts() -> None:
    """What is printed is what is paid: K - c absent classes and c first, n - c further points."""
    printed = {
        kind: {term.constant: term.formula for term in arithmetic(kind, BUILT_IN["coco"])}
        for kind in PAPER_TYPES
    }
    assert printed == {
        "none": {},
        "class": {"tag": "K"},
        "point": {"tag": "K - c", "point_first": "c", "point_further": "n - c"},
        "box": {"tag": "K - c", "box": "n"},
        "mask": {"tag": "K - c", "mask": "n"},
    }


@pytest.mark.parametrize("kind", AnnotationType)
def test_every_type_has_a_price(kind: AnnotationType) -> None:
    """A type without an entry in the table of costs cannot exist."""
    assert set(PAYS[kind]) <= set(CONSTANTS)


def test_scribbles_are_priced_where_they_are_named() -> None:
    """10.9 s an instance beside the tags of absent classes; Table 1 does not list them."""
    coco = BUILT_IN["coco"]
    cost = seconds_per_image(AnnotationType.SCRIBBLE, coco)
    assert cost == pytest.approx(80 - coco.classes_per_image + 10.9 * coco.instances_per_image)
    assert AnnotationType.SCRIBBLE not in listed()
    named = Policy.parse("scribble=0.9,mask=0.1")
    assert listed(named) == tuple(AnnotationType)


@given(statistics())
def test_a_constant_that_is_never_paid_changes_no_bit(stats: DatasetStats) -> None:
    """The paper's types cost to the last bit what they would if there were no others."""
    types = [kind.strength for kind in PAPER_TYPES]
    paid_for = {name for kind in PAPER_TYPES for name in PAYS[kind]}
    columns = [place for place, name in enumerate(CONSTANTS) if name in paid_for]
    c, n = stats.classes_per_image, stats.instances_per_image
    alone = counts(stats.classes, c, n)[np.ix_(types, columns)]
    expected = np.einsum("tk,k->t", alone, TIMES.constants()[columns])
    np.testing.assert_array_equal(type_seconds(stats)[types], expected)


def test_defaults_are_listed_constants() -> None:
    """Every default time stands in the table of published times with the same source."""
    listed = {(row.constant, row.seconds, row.source) for row in ALTERNATIVES}
    for name in CONSTANTS:
        time = getattr(TIMES, name)
        assert (name, time.seconds, time.source) in listed


def test_yaml_takes_numbers_names_and_mappings(tmp_path: Path) -> None:
    """A time is a number, the name of a published one, or both fields; the rest stays."""
    path = tmp_path / "times.yaml"
    path.write_text("tag: 0.8\nbox: staff-clicks\nmask: {seconds: 60, source: pilot}\n")
    times = LabellingTimes.from_yaml(path)
    changed = {"tag": 0.8, "box": 7.4, "mask": 60}
    expected = [changed.get(name, getattr(TIMES, name).seconds) for name in CONSTANTS]
    assert times.constants().tolist() == expected
    assert times.box.source == "Open Images V4"
    assert times.mask.source == "pilot"


@given(
    st.lists(st.floats(0, 1e4), min_size=C, max_size=C),
    st.floats(0, 3),
    st.floats(0, 1),
)
def test_yaml_round_trip(seconds: list[float], sd: float, correlation: float) -> None:
    """What is written reads back equal."""
    import yaml

    data = dict(zip(CONSTANTS, seconds, strict=True))
    spread = {"box": sd, "measured": ["box"]}
    times = LabellingTimes.from_mapping(
        data | {"project_log_sd": spread, "project_correlation": correlation}
    )
    assert LabellingTimes.from_mapping(yaml.safe_load(times.to_yaml()) or {}) == times


def test_default_times_write_as_an_empty_file() -> None:
    """Only what differs is written."""
    assert TIMES.to_yaml() == "{}\n"
    assert ProjectSpread().as_array().tolist() == [0.3] * 4


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"box": -7}, "box.seconds is -7"),
        ({"box": float("nan")}, "box.seconds is nan"),
        ({"boxes": 7}, "boxes: unknown field"),
        ({"mask": "laser"}, "mask: no published time 'laser'; use seconds or one of polygon"),
        ({"box": [7]}, "box is"),
        ({"project_correlation": 2}, "project_correlation is 2"),
        ({"project_log_sd": {"blob": 1}}, "project_log_sd.blob: unknown field"),
    ],
)
def test_bad_times_are_named(values: dict, fault: str) -> None:
    """Each fault of labelling times names field and value."""
    with pytest.raises(OmnicostError, match=fault) as error:
        LabellingTimes.from_mapping(values, "times.yaml")
    assert str(error.value).startswith("times.yaml: ")


def test_all_faults_of_times_at_once() -> None:
    """Two faults are one message."""
    with pytest.raises(OmnicostError) as error:
        LabellingTimes.from_mapping({"box": -1, "mask": -2})
    assert "box" in str(error.value)
    assert "mask" in str(error.value)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"images": 0}, "images is 0"),
        ({"classes": 0}, "classes is 0"),
        ({"classes_per_image": 90}, "classes_per_image exceeds classes"),
        ({"instances_per_image": 1.0}, "instances_per_image is below classes_per_image"),
    ],
)
def test_impossible_statistics_are_refused(changes: dict, fault: str) -> None:
    """Statistics that no images can have are refused."""
    with pytest.raises(OmnicostError, match=fault):
        DatasetStats.of(**(BUILT_IN["coco"].model_dump() | changes))


def test_unknown_data_set_lists_the_known() -> None:
    """An unknown name lists the built-in ones."""
    with pytest.raises(InputError, match="use coco, ade20k, cityscapes"):
        dataset_stats("imagenet")


# --- overheads
