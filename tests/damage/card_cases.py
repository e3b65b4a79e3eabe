"""Experiment cards and the options of a sweep: what each must get before anything is computed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from damage.coco_cases import CARD, verbs, written
from damage.run import REFUSED, RIGHT, TOLD, Case
from omnicost.models.loading import resolve

DEEP = "[" * 3000 + "]" * 3000
BILLION = "\n".join(
    [
        "x: &a [1, 1, 1, 1, 1, 1, 1, 1, 1]",
        *(
            f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]"
            for a, b in zip("abcdefg", "bcdefgh", strict=True)
        ),
    ]
)


def sweeping(content: str | bytes, *options: str) -> Callable[[Path], list[str]]:
    """A dry run of a card of that content, its data set beside it."""

    def make(folder: Path) -> list[str]:
        written(lambda content: None)(folder)
        raw = content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass")
        place = str(folder / "instances.json").encode()
        (folder / "card.yaml").write_bytes(raw.replace(b"ROOT", place))
        return [*verbs(folder)["sweep"], *options]

    return make


CARDS: dict[str, tuple[str | bytes, str, str]] = {
    "as it should be": (CARD, RIGHT, "own: dry run"),
    "empty": ("", REFUSED, "is not a mapping"),
    "a list": ("- 1", REFUSED, "is not a mapping"),
    "not YAML": ("a: [", REFUSED, "is not YAML (line"),
    "not UTF-8": (b"name: \xff\xfe", REFUSED, "is not YAML"),
    "half of a surrogate pair": (CARD + "schedule: \ud800", REFUSED, "is not YAML"),
    "control characters": (CARD + "schedule: a\x07b", REFUSED, "is not YAML"),
    "an object of Python": (CARD + "recipe: !!python/name:os.system", REFUSED, "is not YAML"),
    "bytes": (CARD + "schedule: !!binary aGVsbG8=", REFUSED, "is not YAML"),
    "a set": (CARD + "seeds: !!set {1, 2}", REFUSED, "is not YAML"),
    "a key twice": (CARD + "name: other", REFUSED, "line 5: the key 'name' occurs twice"),
    "a key twice, deep": (
        CARD + "recipe: {teacher: {steps: 1, steps: 2}}", REFUSED, "'steps' occurs twice"
    ),
    "an alias to itself": (CARD + "recipe: &a {b: *a}", REFUSED, "refers to what contains it"),
    "aliases that multiply": (CARD + BILLION, REFUSED, "more than 100,000 values"),
    "3,000 nested lists": (CARD + f"recipe: {DEEP}", REFUSED, "nested too deeply"),
    "a date for a name": (
        CARD.replace("name: own\n", "name: 2026-01-01\n"), RIGHT, "2026-01-01: dry run"
    ),
    "a date for a number": (CARD + "seeds: [2026-01-01]", REFUSED, "seeds.0 is '2026-01-01'"),
    "a date in the recipe": (
        CARD + "recipe: {teacher: {steps: 2026-01-01}}", REFUSED, "teacher.steps is '2026-01-01'"
    ),
    "NaN in the recipe": (
        CARD + "recipe: {teacher: {learning_rate: .nan}}", REFUSED, "learning_rate"
    ),
    "infinity in the recipe": (
        CARD + "recipe: {teacher: {learning_rate: .inf}}", REFUSED, "learning_rate"
    ),
    "NaN in the grid": (CARD.replace("[0.5]", "[.nan]"), REFUSED, "grid.mask_shares.0 is nan"),
    "NaN of the hardware": (CARD + "hardware: {memory_gb: .inf}", REFUSED, "hardware.memory_gb"),
    "a number past 64 bits in a field named by a line's end": (
        CARD + '"\\n": 36893488147419103232', REFUSED, "'\\n' is 36893488147419103232: use a number"
    ),
    "NaN of resources": (CARD + "resources: {default: {cpus: .nan}}", REFUSED, "default.cpus"),
    "steps of 2^70": (CARD + f"recipe: {{teacher: {{steps: {2**70}}}}}", REFUSED, "teacher.steps"),
    "steps of 10^400": (
        CARD + f"recipe: {{teacher: {{steps: {10**400}}}}}", REFUSED, "teacher.steps"
    ),
    "a number of 5,000 digits": (CARD + f"seeds: [{'1' * 5000}]", REFUSED, ""),
    "a seed of 10^400": (CARD + f"seeds: [{10**400}]", REFUSED, "seeds.0"),
    "two equal seeds": (CARD + "seeds: [1, 1]", REFUSED, "seeds"),
    "no seed": (CARD + "seeds: []", REFUSED, "seeds"),
    "an empty grid": (
        CARD.replace("{mask_shares: [0.5], types: [box]}", "{mask_shares: []}"), REFUSED, "grid"
    ),
    "two data sets of one name": (
        CARD.replace("[{name", "[{name: own, root: ROOT, train: all, val: all}, {name"), 
        REFUSED, "datasets"
    ),
    "a typo": (CARD + "sede: 3", REFUSED, "sede: unknown field; did you mean seeds"),
    "a typo in resources": (
        CARD + "resources: {studnt: {cpus: 1}}", REFUSED, "unknown stage 'studnt'"
    ),
    "a typo in the recipe": (
        CARD + "recipe: {teacher: {step: 3}}", REFUSED,
        "recipe.teacher.step: unknown field; did you mean steps"
    ),
    "an axis that nothing reads": (CARD + "axes: {teacher.stepz: [1, 2]}", REFUSED, "stepz"),
    "an axis of no path": (CARD + "axes: {'': [1]}", REFUSED, ""),
    "smoke of a number": (CARD + "smoke: 5", REFUSED, "smoke"),
    "base of a list": (CARD.replace("tiny", "[tiny]", 1), REFUSED, "base"),
    "recipe of a list": (CARD + "recipe: [1]", REFUSED, "recipe is [1]"),
    "recipe of null": (CARD + "recipe:", REFUSED, "recipe is None"),
    "variants of null": (CARD + "variants: {a: null}", REFUSED, "variants.a is None"),
    "keys of numbers": (CARD + "recipe: {1: 2}", REFUSED, "recipe"),
    "a name that leads out": (CARD.replace("name: own\n", "name: ../../x\n"), REFUSED, "name is"),
    "brackets in names": (CARD.replace("{name: own", "{name: '[red]x[/]'"), RIGHT, "[red]x[/]"),
    "a data set of 5,000 letters": (CARD.replace("{name: own", "{name: " + "x" * 5000), RIGHT, ""),
    "a data set name of a number": (
        CARD.replace("{name: own", "{name: 3"), REFUSED, "datasets.0.name"
    ),
    "a data set that is not there": (CARD.replace("ROOT", "/no/such"), TOLD, "missing: /no/such"),
    "weights that are not there": (
        CARD + "recipe: {models: {sam: /no/such}}", TOLD, "missing: sam weights /no/such"
    ),
}  # fmt: skip
OPTIONS: dict[str, tuple[list[str], str, str]] = {
    "a billion seeds": (["--seeds", "1000000000"], REFUSED, "--seeds"),
    "a seed twice": (["--seeds", "1,1"], REFUSED, "seeds"),
    "a seed below zero": (["--seeds=-1,2"], REFUSED, "seeds.0 is -1"),
    "seeds of 10^400": (["--seeds", f"{10**400},1"], REFUSED, "seeds"),
    "no seeds": (["--seeds", "0"], REFUSED, "seeds"),
    "seeds of a superscript": (["--seeds", "²"], REFUSED, "--seeds"),
    "NaN set": (["--set", "recipe.teacher.learning_rate=.nan"], REFUSED, "learning_rate"),
    "infinity set": (["--set", "recipe.teacher.learning_rate=.inf"], REFUSED, "learning_rate"),
    "10^400 set": (["--set", f"recipe.teacher.steps={10**400}"], REFUSED, "steps"),
    "text set": (["--set", "recipe.teacher.steps=many"], REFUSED, "steps is 'many'"),
    "a mapping replaced": (["--set", "recipe=5"], REFUSED, "recipe is 5"),
    "below a leaf": (["--set", "name.x=5"], REFUSED, "name"),
    "no YAML set": (["--set", "recipe.teacher.steps=[1"], REFUSED, "is not YAML"),
    "a path of dots": (["--set", "..=1"], REFUSED, "unknown field"),
    "deciding of a number": (["--decide", "--set", "decide=5"], REFUSED, "decide is 5"),
    "a regret of NaN": (["--regret", "nan"], REFUSED, "decide.regret is nan"),
    "device hours below zero": (["--device-hours", "-1"], REFUSED, "decide.device_hours is -1"),
    "budgets of NaN": (["--budgets", "nanh"], REFUSED, "'nanh' is no amount"),
    "a filter of NaN": (["--only", "mask=nan"], REFUSED, "--only"),
    "a filter of nothing": (["--only", ""], REFUSED, "--only"),
    "a store that is a file": (["--store", "/dev/null"], REFUSED, "/dev/null"),
}


def cut_short(folder: Path, role: str, suffix: str) -> Path:
    """The tiny weights of a role without the second half of their tensors."""
    place = Path(shutil.copytree(resolve("tiny", role), folder / role))
    file = next(place.glob(f"*{suffix}"))
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    return place


def other(folder: Path, role: str, suffix: str) -> Path:
    """The tiny weights of another role."""
    return resolve("tiny", "detector" if role == "sam" else "sam")


def without(folder: Path, role: str, suffix: str) -> Path:
    place = Path(shutil.copytree(resolve("tiny", role), folder / role))
    next(place.glob(f"*{suffix}")).unlink()
    return place


def rubbish(folder: Path, role: str, suffix: str) -> Path:
    (folder / f"w{suffix}").write_bytes(b"rubbish")
    return folder / f"w{suffix}"


Spoil = Callable[[Path, str, str], Path]
WEIGHTS: dict[str, tuple[Spoil, str, str, str, str]] = {
    "SAM cut short": (cut_short, "sam", ".safetensors", REFUSED, "model.safetensors is damaged"),
    "a text encoder cut short": (cut_short, "text", ".safetensors", REFUSED, "is damaged"),
    "a backbone cut short": (cut_short, "backbone", ".safetensors", REFUSED, "is damaged"),
    "a detector for SAM": (other, "sam", "", REFUSED, "holds a model of type 'grounding-dino'"),
    "SAM for a backbone": (other, "backbone", "", REFUSED, "holds a model of type 'sam'"),
    "SAM for a student": (other, "student", "", REFUSED, "holds a model of type 'sam'"),
    "a config cut short": (cut_short, "sam", "config.json", REFUSED, "names no model"),
    "no vocabulary": (without, "text", "tokenizer.json", TOLD, "no vocabulary in it"),
    "no weights": (without, "detector", ".safetensors", TOLD, "no weights in it"),
    "rubbish for SAM": (rubbish, "sam", ".pth", REFUSED, "damaged, or not a file of tensors"),
    "rubbish for a student": (rubbish, "student", ".safetensors", REFUSED, "is damaged"),
}


def weighing(spoil: Spoil, role: str, suffix: str) -> Callable[[Path], list[str]]:
    """A dry run with weights to which something happened."""

    def make(folder: Path) -> list[str]:
        place = spoil(folder, role, suffix)
        changed = ["grid.types=[point]", f"recipe.models.{role}={place}"]  # points ask every model
        if role == "backbone":
            changed.append("recipe.models.student=none")
        return sweeping(CARD, *(part for each in changed for part in ("--set", each)))(folder)

    return make


CASES: list[Case] = [
    *(
        Case("weights", name, weighing(spoil, role, suffix), must, said)
        for name, (spoil, role, suffix, must, said) in WEIGHTS.items()
    ),
    *(Case("card", name, sweeping(text), must, said) for name, (text, must, said) in CARDS.items()),
    *(
        Case("sweep option", name, sweeping(CARD, *options), must, said)
        for name, (options, must, said) in OPTIONS.items()
    ),
]
