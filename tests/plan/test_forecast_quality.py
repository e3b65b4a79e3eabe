"""A surface from pseudo-masks alone: the law, its error, and the rows that it takes."""

from pathlib import Path

import numpy as np
import pytest

from omnicost import api
from omnicost.annotation import WEAK_TYPES, AnnotationType
from omnicost.cost import BUILT_IN
from omnicost.errors import ConfigError, InputError
from omnicost.forecast.observations import observe
from omnicost.forecast.prior import learn_shape
from omnicost.forecast.quality import f1_for, qualities, surface_of_quality, worth_draws
from omnicost.plan import Question, gather, make_plan
from omnicost.results import TeacherRow, TornLineWarning, paper_rows, read_teacher_rows

COCO = BUILT_IN["coco"].with_images(5_000)
F1 = {"none": (76.0, 76.5), "class": (78.1, 78.2), "point": (83.8, 84.2), "box": (93.8, 93.4)}


def rows(images: int | None = 80, **changed: object) -> list[TeacherRow]:
    """Teachers' rows of a pilot: every weak type, tuned on none and on half of its pictures."""
    return [
        TeacherRow(
            **{
                "dataset": "pilot", "policy": {weak: 1 - share, "mask": share}, "seed": 0,
                "variant": "default", "config_hash": "a", "annotation": weak, "f1": f1,
                "images": images, **changed,
            }
        )
        for weak, pair in F1.items()
        for share, f1 in zip((0.0, 0.5), pair, strict=True)
    ]  # fmt: skip


def test_the_law_and_its_error() -> None:
    """F1 of 0.75 is worth about 0.85, give or take the 0.09 that another world misses by."""
    drawn = worth_draws(0.75, np.random.default_rng(0), 20_000)
    assert np.median(drawn) == pytest.approx(0.75**0.58, abs=0.005)
    assert 0.07 < drawn.std() < 0.12
    assert f1_for(0.75**0.58) == pytest.approx(0.75)


def test_better_pseudo_masks_are_worth_more_in_every_draw() -> None:
    """The power is one for a project, so types keep their order but for a cell's own error."""
    shape = learn_shape([observe(paper_rows(name)) for name in BUILT_IN])
    found = qualities(rows())
    surface = surface_of_quality(found, shape, 5_000, 35.0, np.random.default_rng(0), 1000)
    assert surface.types == tuple(w for w in WEAK_TYPES if str(w) in F1)
    drawn = surface.draws_at(0.0)
    assert (drawn[:, -1] > drawn[:, 0]).mean() > 0.95
    # Beyond what was tried, masks help as they do on the paper's data sets, less and less surely.
    box = surface.types.index(AnnotationType.BOX)
    assert surface.at(3000.0)[box] > surface.at(40.0)[box]
    none = surface.types.index(AnnotationType.NONE)
    assert surface.at(1.0)[none] < surface.at(0.0)[none]


def test_seeds_are_averaged_and_mixtures_refused() -> None:
    """Two seeds of a cell are one quality; rows of two recipes, or without F1, are not taken."""
    again = [row.model_copy(update={"seed": 1, "f1": (row.f1 or 0) + 2}) for row in rows()]
    box = qualities([*rows(), *again])[AnnotationType.BOX]
    assert box.masks.tolist() == [0, 40]
    assert box.f1 == pytest.approx([0.948, 0.944])
    with pytest.raises(InputError, match="variant"):
        qualities([*rows(), *rows(variant="other")])
    with pytest.raises(InputError, match="teacher-only"):
        qualities(rows(f1=None))
    with pytest.raises(InputError, match="teacher-only"):
        qualities(rows(images=None))


def test_rows_of_teachers_that_measure_nothing_are_refused() -> None:
    """Rows of a smoke run, one among others too, and F1 of 0 everywhere."""
    smoke = rows(schedule="smoke")
    for given in (smoke, [*rows(), smoke[0]]):
        with pytest.raises(InputError, match="smoke run"):
            make_plan(Question(100.0), COCO, teachers=given, draws=100)
    with pytest.raises(InputError, match="F1 is 0"):
        qualities([row.model_copy(update={"f1": 0.0}) for row in rows()])


def test_a_plan_from_the_teacher_alone() -> None:
    """It says what it rests on, promises no AP, and takes no student's rows beside."""
    plan = make_plan(Question(100.0), COCO, teachers=rows(), draws=200)
    assert plan.evidence.grade == "teacher only"
    assert "box 94 to 93" in plan.evidence.grounds
    assert plan.expectation.ap is None
    assert any("No student" in note for note in plan.notes)
    with pytest.raises(InputError, match="teachers and students"):
        gather(100, np.random.default_rng(0), rows=paper_rows("coco"), teachers=rows())


def test_files_of_teachers_are_known_by_their_name(tmp_path: Path) -> None:
    """`CARD.teacher.jsonl` among the results is the teacher's; a damaged line is named."""
    path = tmp_path / "pilot.teacher.jsonl"
    path.write_text("".join(f"{row.model_dump_json()}\n" for row in rows()))
    report = api.plan("100h", dataset="coco", images=5_000, results=[path], draws=200)
    assert report.plan.evidence.grade == "teacher only"
    path.write_text('{"dataset": "x"}\n')
    with pytest.raises(ConfigError, match=r"pilot\.teacher\.jsonl:1"):
        read_teacher_rows(path)
    odd = rows()[0].model_copy(update={"dataset": "a\u2028b"})
    path.write_text(f'{odd.model_dump_json()}\n{{"dataset": "x')
    with pytest.warns(TornLineWarning, match=":2: unfinished line left out"):
        assert read_teacher_rows(path) == [odd]
    path.write_text("")
    with pytest.raises(InputError, match="no rows"):
        read_teacher_rows(path)
