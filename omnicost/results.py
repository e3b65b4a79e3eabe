"""Results: one row a trained student, in JSON Lines; the paper's tables as recorded data."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
)

from omnicost.annotation import AnnotationType, Policy
from omnicost.cost import DatasetStats, dataset_stats, hours, seconds_per_image
from omnicost.errors import ConfigError, InputError, faults_of
from omnicost.plain_text import is_plain
from omnicost.resources import shipped

if TYPE_CHECKING:
    import pandas as pd

PAPER_VARIANT: Final = "paper"
PUBLISHED: Final = "published"
"""Label of the schedule of students that others published."""
MOST_IMAGES: Final = 10**12  # beyond it, sums lose whole images
SMOKE: Final = "smoke"
"""Schedule of a sweep's trial run, which shows that things fit together and measures nothing."""
TABLES: Final = (1, 2, 3, 4, 5)


class TornLineWarning(UserWarning):
    """A results file holds a line that its writer did not finish."""


def _read_policy(value: object) -> object:
    if isinstance(value, str):
        return Policy.parse(value)
    return Policy.of(value) if isinstance(value, dict) else value


PolicyField = Annotated[
    Policy, BeforeValidator(_read_policy), PlainSerializer(Policy.as_dict, return_type=dict)
]


def _require_plain(text: str) -> str:
    if not is_plain(text):
        raise ValueError("leave control characters and halves of surrogate pairs out")
    return text


Text = Annotated[str, AfterValidator(_require_plain)]
Percent = Annotated[float, Field(ge=0, le=100)]
NonNegative = Annotated[float, Field(ge=0)]


class Row(BaseModel):
    """One trained student: what it was made from, how good it is, what it cost.

    APs are percents; None where they were not measured (or a data set has no object of that size).
    `config_hash` identifies the recipe's settings, not the cell: rows of one data set compare only
    if theirs agree.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, arbitrary_types_allowed=True
    )

    dataset: Text
    policy: PolicyField
    seed: int = 0
    variant: Text
    """Name of the recipe among those of its card; `default` where there is one."""
    config_hash: str = ""
    schedule: Text = ""
    """Label of the student's schedule, such as `published` or a short one's name."""
    trunk: str | None = None
    """What the student went on from: a share of its steps on other labels, as ``0.7 on none=1``."""
    ap: Percent
    ap_small: Percent | None = None
    ap_medium: Percent | None = None
    ap_large: Percent | None = None
    ap50: Percent | None = None
    ap75: Percent | None = None
    teacher_miou: Percent | None = None
    teacher_f1: Percent | None = None
    """Of the pseudo-masks at IoU 0.5, class by class, on the images without masks."""
    images: int = Field(ge=1, le=MOST_IMAGES)
    masks: int = Field(ge=0, le=MOST_IMAGES)
    """Images that were labelled with masks."""
    seconds_per_image: NonNegative
    hours: NonNegative
    """Annotation hours of all the images."""
    wall_seconds: NonNegative | None = None
    """Of the cell's own stages, student and score, attempts that failed included."""
    device_seconds: NonNegative | None = None
    """Of all stages that the cell needs, shared ones in full, attempts that failed included."""
    truncated: bool = False
    """The student was stopped before its schedule ended."""
    versions: dict[str, str] = Field(default_factory=dict)
    source: str = ""

    @property
    def mask_share(self) -> float:
        """Share of the images with masks."""
        return self.policy.mask_share

    @property
    def weak_type(self) -> AnnotationType | None:
        """The one weak type of a cell of the paper's grid; None at 100% masks or for mixtures."""
        weak = self.policy.weak_types
        return weak[0] if len(weak) == 1 else None


class TeacherRow(BaseModel):
    """One teacher's pseudo-masks against the ground truth; percents, None where not defined."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    dataset: str
    policy: dict[str, float]
    seed: int
    variant: str
    config_hash: str
    schedule: str = ""
    """Label of the card's schedules; empty in rows of before it was recorded."""
    annotation: str
    """Annotation type whose pseudo-masks these are."""
    miou: Percent | None = None
    precision50: Percent | None = None
    recall50: Percent | None = None
    f1: Percent | None = None
    """At IoU 0.5."""
    images: int | None = None
    """Training images, labelled in any way."""


Line = TypeVar("Line", Row, TeacherRow)


def f1_percent(hits: int, found: int, wanted: int) -> float | None:
    """Harmonic mean of precision and recall of so many finds; None where there is neither."""
    return 200.0 * hits / (found + wanted) if found + wanted else None


def append_row(path: Path | str, row: Row) -> None:
    """Append a row as one line: one write, flushed to disk, safe beside other writers.

    A torn last line of a writer that died is closed first, so that the new row stays whole.
    """
    line = row.model_dump_json(exclude_none=True).encode() + b"\n"
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        _lock(descriptor)
        size = os.lseek(descriptor, 0, os.SEEK_END)
        if size > 0:
            os.lseek(descriptor, size - 1, os.SEEK_SET)
            line = line if os.read(descriptor, 1) == b"\n" else b"\n" + line
        if os.write(descriptor, line) != len(line):
            raise OSError(errno.ENOSPC, "row written only in part", str(path))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> None:
    """Wait for other writers; systems without such locks rely on the single appending write."""
    with contextlib.suppress(ImportError, OSError):
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX)


def read_rows(path: Path | str, *, may_be_empty: bool = False) -> list[Row]:
    """All rows of a results file, in the order they were appended.

    A line that its writer did not finish is reported as a `TornLineWarning` and left out.

    Raises:
        InputError: naming the line and field that cannot be used, or that the file has no row.
    """
    rows = _lines_of(path, Row)
    if not rows and not may_be_empty:
        raise InputError(path, "holds no result rows", "give a results file written by a sweep")
    return rows


def read_teacher_rows(path: Path | str) -> list[TeacherRow]:
    """All rows of a file that a sweep of teachers wrote, torn lines left out as in `read_rows`.

    Raises:
        InputError: naming the line that is no such row, or that the file has none.
    """
    rows = _lines_of(path, TeacherRow)
    if not rows:
        raise InputError(path, "holds no rows of teachers", "give one that a sweep wrote")
    return rows


def _lines_of(path: Path | str, model: type[Line]) -> list[Line]:
    """The lines of a file, of one model; empty ones and those that were not finished left out."""
    try:
        lines = Path(path).read_bytes().splitlines()
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror})", "check the path") from None
    places = ((line, f"{path}:{number}") for number, line in enumerate(lines, start=1))
    read = [_parse_line(line, where, model) for line, where in places if line.strip()]
    return [row for row in read if row is not None]


def _parse_line(line: bytes, where: str, model: type[Line]) -> Line | None:
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        if line.startswith(b"{") and not line.rstrip().endswith(b"}"):
            message = f"{where}: unfinished line left out (its writer was stopped)"
            warnings.warn(message, TornLineWarning, stacklevel=4)
            return None
        raise InputError(where, "is not a line of JSON", "give a JSON Lines results file") from None
    if not isinstance(data, dict):
        raise InputError(where, f"is {type(data).__name__}, not a row", "write one object a line")
    return _validated(data, where, model)


def parse_row(data: dict[str, Any], where: object = "row") -> Row:
    """A row from plain data.

    Raises:
        ConfigError: naming every field that cannot be used.
    """
    return _validated(data, where, Row)


def _validated(data: dict[str, Any], where: object, model: type[Line]) -> Line:
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise ConfigError(where, faults_of(error, model)) from None
    except InputError as error:
        raise InputError(where, f"policy: {error.problem}", error.remedy) from None


def comparable(rows: Iterable[Row]) -> list[Row]:
    """The rows that a front or a plan may use: of one variant, no student stopped early.

    Raises:
        InputError: if nothing is left or variants are mixed.
    """
    kept = [row for row in rows if not row.truncated]
    if not kept:
        raise InputError("results", "no finished student", "finish the sweep")
    require_one_variant(kept)
    return kept


def require_one_variant(rows: Sequence[Row]) -> None:
    """Refuse rows that were not made in the same way.

    The variant must be one over all rows; its settings and schedule one within each data set.

    Raises:
        InputError: naming the mixture.
    """
    variants = sorted({row.variant for row in rows})
    if len(variants) > 1:
        problem = f"mix variants {', '.join(variants)}"
        raise InputError("results", problem, "choose one with `variant`")
    for dataset in dict.fromkeys(row.dataset for row in rows):
        own = [row for row in rows if row.dataset == dataset]
        for field in ("schedule", "trunk", "config_hash"):
            values = sorted({str(getattr(row, field)) for row in own})
            if len(values) > 1:
                problem = f"{dataset} mixes {field} {', '.join(value[:24] for value in values)}"
                raise InputError("results", problem, "keep the rows of one sweep card")


def to_frame(rows: Iterable[Row]) -> pd.DataFrame:
    """The rows as a table, a column a field, with `mask_share` and `annotation_type`.

    `policy` is text such as ``mask=0.1,point=0.9``; `annotation_type` is what images without masks
    have: `mixed` for several, `mask` for none.
    """
    import pandas as pd

    records = []
    for row in rows:
        weak = row.policy.weak_types
        rest = str(weak[0]) if len(weak) == 1 else "mixed" if weak else "mask"
        plain = row.model_dump(mode="json") | {"policy": str(row.policy)}
        records.append(plain | {"mask_share": row.mask_share, "annotation_type": rest})
    columns = [*Row.model_fields, "mask_share", "annotation_type"]
    return pd.DataFrame.from_records(records, columns=columns)


def recorded_table(number: int) -> pd.DataFrame:
    """Table 1 to 5 of the paper as recorded; `results/README.md` explains the columns.

    Raises:
        InputError: if there is no such table.
    """
    if number not in TABLES:
        raise InputError("table", f"no table {number}", "use 1 to 5")
    return _read_csv(f"table{number}.csv")


def published_baselines() -> pd.DataFrame:
    """COCO mask APs that other methods published, with the annotation each one needs."""
    return _read_csv("baselines.csv")


def published_series() -> dict[str, list[Row]]:
    """Those of them that one method measured at several shares of masks on COCO: rows by series.

    Each has the method's name for its variant, and costs by the default labelling times.
    """
    stats = dataset_stats("coco")
    return {
        str(name): [
            _priced(stats, Policy.parse(one.policy), one.ap, str(name), one.source)
            for one in own.itertuples()
        ]
        for name, own in published_baselines().groupby("series")
        if name
    }


def _read_csv(name: str) -> pd.DataFrame:
    import pandas as pd

    text_columns = {"weak_type": str, "policy": str, "annotation": str, "series": str}
    frame = pd.read_csv(shipped("results/paper") / name, comment="#", dtype=text_columns)
    return frame.fillna(dict.fromkeys(text_columns, ""))


def paper_rows(dataset: str) -> list[Row]:
    """Table 2 as rows of variant `paper`, priced with the default labelling times.

    Raises:
        InputError: if the paper has no such data set.
    """
    table = recorded_table(2)
    stats = dataset_stats(dataset, "data set of the paper")
    own = table[table["dataset"] == stats.name]
    return [_paper_row(record, stats) for record in own.to_dict("records")]


def _paper_row(record: dict[Any, Any], stats: DatasetStats) -> Row:
    policy = Policy.cell(record["weak_type"] or AnnotationType.MASK, record["mask_share"])
    row = _priced(stats, policy, record["ap"], PAPER_VARIANT, "paper, Table 2")
    sizes = {name: record[name] for name in ("ap_small", "ap_medium", "ap_large")}
    return row.model_copy(update=sizes)


def _priced(stats: DatasetStats, policy: Policy, ap: float, variant: str, source: str) -> Row:
    """A published student as a row, priced with the default labelling times."""
    seconds = seconds_per_image(policy, stats)
    return Row(
        dataset=stats.name,
        policy=policy,
        variant=variant,
        schedule=PUBLISHED,
        ap=ap,
        images=stats.images,
        masks=round(policy.mask_share * stats.images),
        seconds_per_image=seconds,
        hours=hours(seconds * stats.images),
        source=source,
    )
