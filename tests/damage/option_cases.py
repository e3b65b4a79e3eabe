"""Options, logs, rows and stores: numbers, names and files that no command should trip over."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine_toys import DATA, DataParams

from damage.coco_cases import verbs, written
from damage.run import REFUSED, RIGHT, TOLD, Case
from omnicost.engine.execute import execute
from omnicost.engine.graph import Stage
from omnicost.engine.store import MANIFEST, Store

PLAN = ["plan", "--dataset", "coco", "--images", "100", "--budget", "5h"]
HUGE = str(10**400)
# command line, what it must get, what must be said
OPTIONS: dict[str, tuple[list[str], str, str]] = {
    "as it should be": (PLAN, RIGHT, "100 images"),
    "images of 10^13": ([*PLAN, "--images", "10000000000000"], REFUSED, "--images"),
    "images of 10^400": ([*PLAN, "--images", HUGE], REFUSED, "--images"),
    "images of a superscript": ([*PLAN, "--images", "²"], REFUSED, "--images"),
    "no images": ([*PLAN, "--images", "0"], REFUSED, "--images"),
    "images below zero": ([*PLAN, "--images", "-5"], REFUSED, "--images"),
    "images that are not there": ([*PLAN, "--images", "/no/such"], REFUSED, "/no/such"),
    "a name of 5,000 letters": ([*PLAN, "--images", "x" * 5000], REFUSED, "use a shorter name"),
    "a name with a NUL": ([*PLAN, "--images", "a\0b"], REFUSED, "--images"),
    "a budget of NaN": ([*PLAN, "--budget", "nan"], REFUSED, "--budget"),
    "a budget of infinity": ([*PLAN, "--budget", "infh"], REFUSED, "--budget"),
    "a budget of 10^400": ([*PLAN, "--budget", f"{HUGE}h"], REFUSED, "--budget"),
    "a budget below zero": ([*PLAN, "--budget=-5h"], REFUSED, "--budget"),
    "a budget of Arabic digits": ([*PLAN, "--budget", "٥h"], RIGHT, "100 images"),
    "a wage of NaN": ([*PLAN, "--wage", "nan"], TOLD, "--wage"),
    "a wage of infinity": ([*PLAN, "--wage", "inf"], REFUSED, "--wage"),
    "a currency of markup": ([*PLAN, "--currency", "[/red]"], REFUSED, "--currency"),
    "a currency of escapes": ([*PLAN, "--currency", "\x1b[31mx"], REFUSED, r"\x1b[31mx"),
    "a currency that turns the line": (
        ["cost", "--dataset", "coco", "--wage", "9", "--currency", "\u202exyz"], REFUSED, r"\u202e"
    ),
    "results that are not there": ([*PLAN, "--results", "/no/such"], REFUSED, "/no/such"),
    "a manifest below a file": ([*PLAN, "--manifest", "/dev/null/x"], REFUSED, "/dev/null"),
    "weeks of NaN": ([*PLAN, "--annotators", "2", "--weeks", "nan"], REFUSED, "--weeks"),
    "annotators of 10^400": ([*PLAN, "--annotators", HUGE], REFUSED, "--annotators"),
    "a time of NaN": (["cost", "--dataset", "coco", "--time", "box=nan"], REFUSED, "box.seconds"),
    "a time of 10^400": (["cost", "--dataset", "coco", "--time", f"box={HUGE}"], REFUSED, "box"),
    "shares of infinity": (
        ["cost", "--dataset", "coco", "--policy", "mask=inf"], REFUSED, "share of mask"
    ),
}  # fmt: skip


def log(content: str | bytes) -> Callable[[Path], list[str]]:
    """Calibrates from a log of that content."""

    def make(folder: Path) -> list[str]:
        raw = content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass")
        (folder / "log").write_bytes(raw)
        return ["calibrate", str(folder / "log")]

    return make


def timed(seconds: str, annotator: str = "ada", rows: int = 30) -> str:
    """A log of boxes, the last of which took so long."""
    lines = [f"box,{7 + n % 3},{annotator}" for n in range(rows - 1)]
    return "\n".join(["type,seconds,annotator", *lines, f"box,{seconds},{annotator}", ""])


LOGS: dict[str, tuple[str | bytes, str, str]] = {
    "as it should be": (timed("7"), RIGHT, "box"),
    "seconds of NaN": (timed("nan"), RIGHT, "1 rows without a time"),
    "seconds of 10^400": (timed(HUGE), REFUSED, "seconds"),
    "seconds of 1e999": (timed("1e999"), REFUSED, "seconds"),
    "annotators in brackets": (timed("7", "[/red]"), RIGHT, "box"),
    "annotators that are formulas": (timed("7", "=cmd|x"), RIGHT, "box"),
    "annotators with escapes": (timed("7", "\x1b[31m"), RIGHT, "box"),
    "annotators that turn the line": (timed("7", "\u202eada"), RIGHT, "box"),
    "annotators of 5,000 letters": (timed("7", "x" * 5000), RIGHT, "box"),
    "halves of surrogate pairs": (timed("7", "\ud800"), REFUSED, "is not text"),
    "NULs": (timed("7", "a\0"), REFUSED, "is not text"),
    "a lead time of 2^64": (
        json.dumps([{"id": 5, "annotations": [{"result": [], "lead_time": 2**64}]}]), REFUSED, ""
    ),
    "a lead time of 10^400": (
        json.dumps([{"id": 5, "annotations": [{"result": [], "lead_time": 10**400}]}]), REFUSED, ""
    ),
}  # fmt: skip


def row(**changes: Any) -> str:
    """A result row as JSON."""
    good = {
        "dataset": "toys", "policy": {"mask": 1.0}, "variant": "default", "ap": 40.0, "images": 100,
        "masks": 100, "seconds_per_image": 600.0, "hours": 16.7,
    }  # fmt: skip
    return json.dumps(good | changes)


def rows(*lines: str) -> Callable[[Path], list[str]]:
    """Draws rows."""

    def make(folder: Path) -> list[str]:
        (folder / "rows.jsonl").write_text("\n".join(lines) + "\n")
        out = str(folder / "pareto.png")
        return ["plot", "pareto", "--results", str(folder / "rows.jsonl"), "--out", out]

    return make


ROWS: dict[str, tuple[tuple[str, ...], str, str]] = {
    "as it should be": ((row(),), RIGHT, "wrote"),
    "an AP of NaN": ((row(ap=float("nan")),), REFUSED, "ap"),
    "an AP of 10^400": ((row().replace("40.0", HUGE),), REFUSED, "ap"),
    "images of 2^64": ((row(images=2**64),), REFUSED, "images"),
    "images of 10^400": ((row().replace('"images": 100', f'"images": {HUGE}'),), REFUSED, "images"),
    "masks of 2^70": ((row(masks=2**70),), REFUSED, "masks"),
    "hours of infinity": ((row(hours=float("inf")),), REFUSED, "hours"),
    "a row of a list": (("[1]",), REFUSED, "is list, not a row"),
    "no rows": (("",), REFUSED, "holds no result rows"),
    "a torn row alone": ((row()[:30],), TOLD, "holds no result rows"),
    "an unknown field": ((row(app=1),), REFUSED, "app: unknown field; did you mean ap"),
    "a name in brackets": ((row(dataset="[/red]"),), RIGHT, "wrote"),
    "a name of dollars": ((row(dataset=r"a $\bad$ name_$"),), RIGHT, "wrote"),
    "a name with escapes": ((row(dataset="\x1b[31m"),), REFUSED, "leave control characters"),
    "a name that turns the line": ((row(dataset="\u202eabc"),), RIGHT, "wrote"),
    "half of a surrogate pair": ((row(dataset="\ud800"),), REFUSED, "leave control characters"),
    "a name of 5,000 letters": ((row(dataset="x" * 5000),), RIGHT, "wrote"),
    "a name that is a formula": ((row(dataset="=1+1"),), RIGHT, "wrote"),
}  # fmt: skip


def kept(spoil: Callable[[Store, str], object], *command: str) -> Callable[[Path], list[str]]:
    """A command on a store of one artefact to which something happened."""

    def make(folder: Path) -> list[str]:
        store = Store(folder / "store")
        spoil(store, execute(store, Stage(DATA, DataParams(seed=0))).key)
        return ["store", *command, "--store", str(folder / "store")]

    return make


def instead_of(path: Path) -> None:
    """A folder where a file should be."""
    path.unlink()
    path.mkdir()


STORES: dict[str, tuple[Callable[[Store, str], object], str]] = {
    "a byte more": (
        lambda store, key: (store.path(key) / "x.npy").write_bytes(b"x"), "its bytes changed"
    ),
    "a file of nothing": (
        lambda store, key: (store.path(key) / "x.npy").write_bytes(b""), "its bytes changed"
    ),
    "a file less": (lambda store, key: (store.path(key) / "x.npy").unlink(), "missing"),
    "a file more": (
        lambda store, key: (store.path(key) / "y").write_text(""), "not in the manifest"
    ),
    "a folder for a file": (lambda store, key: instead_of(store.path(key) / "x.npy"), "missing"),
    "a manifest of garbage": (
        lambda store, key: (store.path(key) / MANIFEST).write_bytes(b"\xff{"), "is damaged"
    ),
    "a manifest of a list": (
        lambda store, key: (store.path(key) / MANIFEST).write_text("[]"), "is damaged"
    ),
}  # fmt: skip
STRANGERS: dict[str, Callable[[Store, str], object]] = {
    "foreign folders": lambda store, key: (store.root / "artefacts" / "notes").mkdir(),
    "foreign files": lambda store, key: (store.root / "artefacts" / "ab").write_text("mine"),
    "a lock of garbage": lambda store, key: (store.locks.folder / "a.lock").write_bytes(b"\xff"),
    "a lock of a list": lambda store, key: (store.locks.folder / "a.lock").write_text("[]"),
    "a beat of garbage": lambda store, key: (store.locks.folder / "a.beat").write_bytes(b"\0"),
    "a record of garbage": lambda store, key: (
        store.root / "executions" / f"{key}.jsonl"
    ).write_bytes(b"\xff\n{"),
    "a name that turns the line": lambda store, key: (store.root / "artefacts" / "\u202e").mkdir(),
}
MARKERS: dict[str, str] = {
    "a marker of garbage": "\x00",
    "a marker of another version": '{"version": 99, "id": "x"}',
    "a marker of a list": "[]",
}


def marked(content: str) -> Callable[[Path], list[str]]:
    def make(folder: Path) -> list[str]:
        (folder / "store").mkdir()
        (folder / "store" / "store.json").write_text(content)
        return ["store", "ls", "--store", str(folder / "store")]

    return make


def into(name: str, *command: str) -> Callable[[Path], list[str]]:
    """A command that writes a file of that name, where somebody has one."""

    def make(folder: Path) -> list[str]:
        (folder / "rows.jsonl").write_text(row() + "\n")
        (folder / "log.csv").write_text(timed("7"))
        if not (folder / name).exists():
            (folder / name).write_text("mine")
        return [str(folder / part[1:]) if part.startswith("@") else part for part in command]

    return make


PARETO = ("plot", "pareto", "--results", "@rows.jsonl", "--out")
OVERWRITING: dict[str, tuple[Callable[[Path], list[str]], str]] = {
    "the log that is read": (
        into("log.csv", "calibrate", "@log.csv", "--out", "@log.csv"),
        "input",
    ),
    "somebody's times": (into("t.yaml", "calibrate", "@log.csv", "--out", "@t.yaml"), "written by"),
    "somebody's picture": (into("a.png", *PARETO, "@a.png"), "was not written by omnicost"),
    "somebody's numbers": (into("a.csv", *PARETO, "@a.png"), "was not written by omnicost"),
    "somebody's page": (into("p.html", *PLAN, "--page", "@p.html"), "was not written by omnicost"),
    "somebody's plot": (into("p.png", *PLAN, "--plot", "@p.png"), "was not written by omnicost"),
    "somebody's lists": (into("manifest.csv", *PLAN, "--manifest", "@"), "manifest.csv"),
}


def sized(bounds: str) -> Callable[[Path], list[str]]:
    """Checks the good set with other bounds of small and medium."""

    def change(content: dict[str, Any]) -> str:
        return json.dumps(content | {"info": {"size_bounds": "HERE"}}).replace('"HERE"', bounds)

    return lambda folder: verbs(written(change)(folder))["stats"]


BOUNDS: dict[str, tuple[str, str, str]] = {
    "as they should be": ("[10, 20]", RIGHT, ""),
    "10^400": (f"[1, {HUGE}]", REFUSED, "size_bounds"),
    "NaN": ("[NaN, 2]", REFUSED, "size_bounds"),
    "three": ("[1, 2, 3]", REFUSED, "size_bounds"),
    "turned around": ("[20, 10]", REFUSED, "size_bounds"),
    "of text": ('"small"', REFUSED, "size_bounds"),
}
CASES: list[Case] = [
    *(
        Case("option", name, lambda folder, a=arguments: a, must, said)
        for name, (arguments, must, said) in OPTIONS.items()
    ),
    *(Case("log", name, log(content), must, said) for name, (content, must, said) in LOGS.items()),
    *(Case("row", name, rows(*lines), must, said) for name, (lines, must, said) in ROWS.items()),
    *(
        Case("store", name, kept(spoil, "verify"), TOLD, said)
        for name, (spoil, said) in STORES.items()
    ),
    *(
        Case("store", f"{name}, {' '.join(command)}", kept(spoil, *command), RIGHT, "", True)
        for name, spoil in STRANGERS.items()
        for command in (("ls",), ("verify",), ("verify", "--delete"), ("gc",))
    ),
    *(
        Case(
            "store", f"{name}, deleted", kept(spoil, "verify", "--delete"), RIGHT, "(deleted)", True
        )
        for name, (spoil, _) in STORES.items()
    ),
    *(Case("overwriting", name, make, REFUSED, said) for name, (make, said) in OVERWRITING.items()),
    *(Case("store", name, marked(content), REFUSED, "") for name, content in MARKERS.items()),
    *(
        Case("size bounds", name, sized(text), must, said)
        for name, (text, must, said) in BOUNDS.items()
    ),
]
