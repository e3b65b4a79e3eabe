"""Fuzz targets: whatever is fed in, what comes out is columns, reasons, or one line.

make fuzz        # a minute each
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from damage.run import command
from omnicost.coco import Faults, parse_coco, read_coco
from omnicost.cost import LabellingTimes
from omnicost.data.exports.brush import brush_mask
from omnicost.data.imports.cvat import read_cvat
from omnicost.data.imports.label_studio import read_label_studio
from omnicost.data.imports.labelme import read_labelme
from omnicost.data.imports.yolo import read_yolo
from omnicost.data.readers.coco_reader import columns_of, require_pictures
from omnicost.data.rle import run_lengths, to_rle
from omnicost.errors import OmnicostError
from omnicost.results import TornLineWarning, read_rows, to_frame
from omnicost.sweep.cards.card import recipe_of
from omnicost.sweep.cards.read_card import Changes, load_card


@contextlib.contextmanager
def one_line() -> Iterator[None]:
    """Refusing is right, in one line."""
    refused: OmnicostError | None = None
    try:
        yield
    except OmnicostError as error:
        refused = error
    assert refused is None or "\n" not in str(refused)


WHOLE = st.sampled_from([0, 1, 2, -1, 2**31, 2**63, 2**64, 10**400]) | st.integers(0, 30)
NUMBERS = WHOLE | st.floats()
ANY = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)


def _records(keys: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[list[Any]]:
    """Lists of records whose fields are as they should be, or anything, or missing."""
    fields = {key: usual | ANY for key, usual in keys.items()}
    return st.lists(st.fixed_dictionaries({}, optional=fields) | ANY, max_size=4)


COCO = st.fixed_dictionaries(
    {},
    optional={
        "images": _records(
            {
                "id": st.integers(1, 3),
                "file_name": st.sampled_from(["1.png", "2.png", "../3.png"]),
                "height": st.just(8),
                "width": st.just(9),
                "omnicost_type": st.sampled_from(["none", "class", "point", "box", "mask"]),
            }
        ),
        "categories": _records({"id": st.integers(1, 2), "name": st.sampled_from(["a", "b"])}),
        "annotations": _records(
            {
                "id": st.integers(1, 5),
                "image_id": st.integers(1, 3),
                "category_id": st.integers(1, 2),
                "bbox": st.lists(NUMBERS, min_size=4, max_size=4),
                "point": st.lists(NUMBERS, min_size=2, max_size=2),
                "keypoints": st.lists(NUMBERS, max_size=6),
                "segmentation": st.lists(st.lists(NUMBERS, max_size=8), max_size=2),
                "iscrowd": st.integers(0, 1),
                "area": NUMBERS,
            }
        ),
        "info": ANY,
    },
)


def _read(data: Any, faults: Faults) -> str | None:
    """What is wrong with a file, if its reader stops there; None if it reads."""
    try:
        columns_of(require_pictures(parse_coco(data, faults.path, faults=faults), faults), faults)
    except OmnicostError as error:
        return str(error)
    return None


@given(COCO)
def coco(data: Any) -> None:
    """Whoever opens a file stops where `check` finds a fault, and reads what it finds sound."""
    stopped = _read(data, Faults("file"))
    kept = Faults("file", collect=True)
    ended = _read(data, kept)
    assert (stopped is None) or "\n" not in stopped
    if stopped is None:
        assert ended is None
    else:
        assert kept.found or ended is not None, stopped


@given(COCO)
def coco_in_pieces(data: Any) -> None:
    """The reader in pieces says what the one for damaged files says."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "instances.json"
        path.write_text(json.dumps(data))
        found = []
        for read in (lambda: read_coco(path), lambda: parse_coco(data, path)):
            try:
                file = read()
                found.append((file.annotation_ids.tolist(), file.drawn.tolist()))
            except OmnicostError as error:
                found.append(str(error))
    assert found[0] == found[1]


@given(st.binary(max_size=30) | st.text("0123456789:;<=>?@PQRSTUVWXYZabc", max_size=30), ANY)
def rle(counts: Any, other: Any) -> None:
    """Run lengths, polygons and anything else become a mask of the picture or ValueError."""
    for drawing in ({"size": [8, 9], "counts": counts}, {"size": [8, 9], "counts": other}, other):
        try:
            to_rle(drawing, 8, 9)
            run_lengths(counts if isinstance(counts, bytes) else counts.encode())
        except ValueError:
            pass


@given(st.lists(st.integers(-1, 256), max_size=60), st.integers(0, 6), st.integers(0, 6))
def brush(content: list[int], height: int, width: int) -> None:
    """Bytes become a mask of the picture or ValueError."""
    with contextlib.suppress(ValueError):
        assert brush_mask(content, height, width).shape == (height, width)


@given(st.lists(ANY, max_size=3))
def label_studio(tasks: list[Any]) -> None:
    """Any JSON list becomes images and reasons."""
    export = read_label_studio(tasks)
    assert len(export.images) + len(export.skipped) >= len(tasks)


@given(st.dictionaries(st.sampled_from(["shapes", "flags", "imagePath", "imageHeight"]), ANY))
def labelme(content: Any) -> None:
    """Any JSON object becomes an image or a reason."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.json"
        path.write_text(json.dumps(content))
        export = read_labelme([path])
    assert len(export.images) + len(export.skipped) >= 1


_TAGS = st.sampled_from(["image", "box", "polygon", "points", "mask", "tag", "label", "name"])
_NAMES = ["label", "points", "rle", "left", "top", "width", "height", "xtl", "rotation", "name"]
XML = st.recursive(
    st.text("ab<>&1", max_size=4),
    lambda inner: st.builds(
        lambda tag, names, value, body: (
            f"<{tag} " + " ".join(f'{name}="{value}"' for name in names) + f">{body}</{tag}>"
        ),
        _TAGS, st.lists(st.sampled_from(_NAMES), unique=True),
        st.sampled_from(["1", "1,1;2,2", "-1", "nan", "1e999", "", "a", "0,9"]), inner),
    max_leaves=5,
)  # fmt: skip


@given(st.lists(XML, max_size=4))
def cvat(parts: list[str]) -> None:
    """Any XML becomes images and reasons, anything else one line."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.xml"
        path.write_text(f"<annotations>{''.join(parts)}</annotations>")
        with one_line():
            read_cvat(path)


@given(st.text("0123456789. -enaif\n", max_size=60))
def yolo(text: str) -> None:
    """Any text becomes instances and reasons."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "labels").mkdir()
        (Path(folder) / "labels" / "a.txt").write_text(text)
        (Path(folder) / "classes.txt").write_text("cat\ndog\n")
        export = read_yolo(Path(folder))
    lines = sum(bool(line.strip()) for line in text.splitlines())
    assert len(export.images[0].drawn) + len(export.skipped) == lines


@given(ANY | st.dictionaries(st.sampled_from(["box", "mask", "tag"]), ANY))
def times(content: Any) -> None:
    """Any YAML becomes labelling times or one line."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "times.yaml"
        path.write_text(json.dumps(content), encoding="utf-8", errors="surrogatepass")
        with one_line():
            assert np.isfinite(LabellingTimes.from_yaml(path).constants()).all()


CARD = {
    "base": st.just("tiny"),
    "name": st.just("fuzzed"),
    "datasets": st.sampled_from([["tiny-coco"], "tiny-coco", [{"name": "a", "images": 4}]]),
    "seeds": st.lists(NUMBERS, max_size=3),
    "grid": st.fixed_dictionaries(
        {},
        optional={
            "mask_shares": st.lists(NUMBERS, max_size=3),
            "types": st.lists(st.sampled_from(["none", "class", "point", "box", "mask", "blob"])),
            "policies": st.lists(st.dictionaries(st.sampled_from(["mask", "box"]), NUMBERS)),
        },
    ),
    "recipe": st.dictionaries(
        st.sampled_from(["teacher", "student", "models", "embed", "refine"]),
        st.dictionaries(st.sampled_from(["steps", "tune", "schedule", "alpha", "sam"]), ANY),
    ),
    "variants": st.dictionaries(
        st.text(max_size=3), st.dictionaries(st.sampled_from(["teacher.steps", "x", ""]), ANY)
    ),
    "axes": st.dictionaries(
        st.sampled_from(["teacher.steps", "student", ".", ""]), st.lists(ANY, max_size=3)
    ),
    "resources": st.dictionaries(
        st.sampled_from(["default", "student", "blob"]),
        st.dictionaries(st.sampled_from(["cpus", "gpus", "threads"]), NUMBERS),
    ),
    "smoke": ANY,
}
SETTINGS = st.lists(
    st.builds(
        "{}={}".format,
        st.sampled_from(["recipe.teacher.steps", "name", "grid", "seeds", "a.b", "."]),
        st.text(max_size=6) | NUMBERS.map(str),
    ),
    max_size=2,
)


@given(
    st.fixed_dictionaries({}, optional={key: good | ANY for key, good in CARD.items()}) | ANY,
    SETTINGS,
    st.none() | st.text("0123456789,-e² ", max_size=12),
    st.booleans(),
)
def card(content: Any, changed: list[str], seeds: str | None, smoke: bool) -> None:
    """Any YAML and any options become cells with recipes, each cell once, or one line."""
    with tempfile.TemporaryDirectory() as folder, one_line():
        path = Path(folder) / "card.yaml"
        path.write_text(json.dumps(content), encoding="utf-8", errors="surrogatepass")
        made = load_card(path, Changes(tuple(changed), seeds, smoke))
        cells = list(itertools.islice(made.cells(), 2000))
        assert len({cell.id for cell in cells}) == len(cells)
        for cell in cells[:20]:
            recipe_of(cell)


ROW = {
    "dataset": st.just("toys"), "policy": st.just({"mask": 1.0}), "variant": st.just("default"),
    "ap": st.floats(0, 100), "images": st.integers(1, 9), "masks": st.just(1),
    "seconds_per_image": st.floats(0, 99), "hours": st.floats(0, 99),
}  # fmt: skip


@given(
    st.lists(
        st.fixed_dictionaries({key: good | ANY for key, good in ROW.items()}).map(json.dumps)
        | st.text(max_size=9),
        max_size=3,
    )
)
def rows(lines: list[str]) -> None:
    """Any lines become rows that a table can hold, or one line."""
    with tempfile.TemporaryDirectory() as folder, one_line(), warnings.catch_warnings():
        warnings.simplefilter("ignore", TornLineWarning)
        path = Path(folder) / "rows.jsonl"
        path.write_text("\n".join(lines), encoding="utf-8", errors="surrogatepass")
        to_frame(read_rows(path))


VALUES = st.text(max_size=5) | NUMBERS.map(str) | st.sampled_from(["5h", "9usd", "box=1", "coco"])
OPTIONS = ["--images", "--budget", "--wage", "--target", "--like", "--currency", "--annotators",
           "--weeks", "--time", "--dataset", "--annotations", "--times"]  # fmt: skip


@given(
    st.sampled_from(["plan", "cost"]),
    st.lists(st.tuples(st.sampled_from(OPTIONS), VALUES).map(list), max_size=4),
)
def arguments(verb: str, options: list[list[str]]) -> None:
    """Any options of the planner's verbs end in an answer, or in words on the option."""
    given_options = [part for option in options for part in option]
    code, _, errors = command([verb, "--dataset", "coco", *given_options])
    assert "Traceback" not in errors, errors
    assert "fault of omnicost" not in errors, errors
    assert code == 0 or errors.strip()


TARGETS: list[Callable[[], None]] = [
    coco, coco_in_pieces, rle, brush, label_studio, labelme, cvat, yolo, times, card, rows,
    arguments,
]  # fmt: skip


def main(minutes: float) -> None:
    """Run each target for so long, each time from another seed."""
    import time

    options = settings(
        max_examples=500,
        deadline=timedelta(seconds=20),
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    for target in TARGETS:
        ends, rounds, fuzzed = time.monotonic() + 60 * minutes, 0, options(target)
        while time.monotonic() < ends:
            seed(int.from_bytes(os.urandom(4)))(fuzzed)()
            rounds += 1
        print(f"{target.__name__}: {500 * rounds:,} examples")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 1.0)
