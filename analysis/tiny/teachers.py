"""Whether tuning helps a teacher: tuned against released, by data set, share of masks and kind.

Each teacher is tuned on the images that a sweep would label and judged on held-out pictures, with
the prompts of its kind from the ground truth. A row is added as soon as it is measured; run again,
the script goes on where it stopped, and measures anew what was measured with other settings, worlds
or weights. Pictures are embedded once, released weights judged once for each set and kind of
prompt. `--show` prints what there is, a line for each setting: means and spreads over the seeds,
tuned less released on the same instances, and the correlation of the decoder's ratings with the
true IoU before and after.

    python -m analysis.tiny.teachers results/tiny/tuned_teachers.jsonl
    python -m analysis.tiny.teachers results/tiny/tuned_teachers.jsonl --show
    python -m analysis.tiny.teachers /tmp/hot.jsonl --set teacher.full_rate_instances=1
"""

from __future__ import annotations

import itertools
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
import yaml
from rich.console import Console
from rich.table import Table

from analysis.tables.tuning import COLUMNS, Row, read, table_lines
from omnicost.data import Dataset, open_dataset
from omnicost.data.splits import masked_images
from omnicost.data.tiny.world import SPECS
from omnicost.engine.keys import digest
from omnicost.models.loading import fingerprint
from omnicost.models.teachers.teacher import load_promptable
from omnicost.models.text import load_text_encoder
from omnicost.pipeline import embed
from omnicost.pipeline.config import DEFAULT_EMBED, DEFAULT_TEACHER, TeacherConfig
from omnicost.pipeline.embed import Embeddings, ImageEncoder
from omnicost.pipeline.teacher import train
from omnicost.pipeline.teacher.kinds import TeacherKind
from omnicost.pipeline.teacher.quality import Judged, judge
from omnicost.resources import shipped

DATASETS = ("tiny-coco", "tiny-ade20k", "tiny-cityscapes")
SHARES = (0.01, 0.1)
KINDS = (
    "box/plain",
    "point/plain",
    "point_box/plain",
    "box/class",
    "point/class",
    "point_box/class",
)


class Bench:
    """A data set with its embeddings, and what is released."""

    def __init__(self, name: str, root: Path, seeds: int, pictures: int) -> None:
        self.train = open_dataset(name, "train", root=root)
        val = open_dataset(name, "val", root=root)
        self.val = val.take(range(min(pictures, len(val))))
        self.sam = load_promptable("tiny")
        self.encoder = ImageEncoder(self.sam, DEFAULT_EMBED)
        self.root = root / f"{name}-{_start_of(name)}"
        wanted = {i for seed in range(seeds) for i in self.labelled(max(SHARES), seed)}
        self.train_cache = self._embedded(f"train-{seeds}", self.train, sorted(wanted))
        self.val_cache = self._embedded(
            f"val-{len(self.val)}", self.val, list(range(len(self.val)))
        )

    def labelled(self, share: float, seed: int) -> list[int]:
        """Images with masks, as a sweep draws them."""
        return masked_images(self.train, share, seed).tolist()

    def _embedded(self, name: str, dataset: Dataset, order: Sequence[int]) -> Path:
        out, work = self.root / f"embed-{name}", self.root / f"work-{name}"
        if not (out / embed.INDEX).exists():
            out.mkdir(parents=True, exist_ok=True)
            work.mkdir(parents=True, exist_ok=True)
            embed.run(dataset, "tiny", DEFAULT_EMBED, order=order, out=out, work=work)
        return out

    def judged(self, folder: Path) -> tuple[Judged, bool]:
        """A teacher's masks on the held-out pictures, and whether it was tuned."""

        def features(template: str) -> torch.Tensor:
            return load_text_encoder("tiny").encode(self.train.class_names, template)

        teacher = train.load_teacher(folder, self.sam, features)
        cache = Embeddings([self.val_cache], self.val, lambda: self.encoder)
        return judge(teacher, range(len(self.val)), cache), teacher.tuned

    def released(self, prompts: str) -> Judged:
        """The released weights on the held-out pictures, judged once for all shares and seeds.

        They read no class, so that both kinds of a prompt start from the same masks.
        """
        path = self.root / f"released-{prompts}-{len(self.val)}.npz"
        if not path.exists():
            folder = self._made(f"{prompts}/plain", [], 0, DEFAULT_TEACHER)
            np.savez(path, **self.judged(folder)[0]._asdict())
        with np.load(path) as stored:
            return Judged(stored["ious"], stored["ratings"])

    def measure(self, share: float, kind: str, seed: int, config: TeacherConfig) -> Row:
        """One teacher tuned and judged."""
        before, started = self.released(kind.partition("/")[0]), time.process_time()
        after, tuned = self.judged(self._made(kind, self.labelled(share, seed), seed, config))
        gain = 100 * (after.ious - before.ious)
        return Row(
            dataset=self.train.name,
            mask_share=share,
            kind=kind,
            seed=seed,
            instances=len(gain),
            released=100 * before.ious.mean(),
            tuned=100 * after.ious.mean(),
            kept="tuned" if tuned else "released",
            released_correlation=_correlation(before),
            tuned_correlation=_correlation(after),
            difference_error=float(gain.std() / np.sqrt(len(gain))),
            cpu_seconds=time.process_time() - started,
            made_of=made_of(self.train.name, config),
        )

    def _made(self, kind: str, labelled: list[int], seed: int, config: TeacherConfig) -> Path:
        folder = Path(tempfile.mkdtemp(dir=self.root))
        out, work = folder / "out", folder / "work"
        out.mkdir()
        work.mkdir()
        train.run(
            self.train,
            "tiny",
            "tiny",
            config,
            kind=TeacherKind.parse(kind),
            labelled=labelled,
            seed=seed,
            out=out,
            work=work,
            embeddings=[self.train_cache],
        )
        return out


def made_of(name: str, config: TeacherConfig) -> str:
    """What a row depends on besides data set, share, kind and seed."""
    parts = (_start_of(name), config.identity(), fingerprint("tiny", "text"), train.VERSION)
    return digest(parts)[:12]


def _start_of(name: str) -> str:
    """Pictures and released weights, in brief."""
    return digest((SPECS[name].version, fingerprint("tiny", "sam"), embed.VERSION))[:12]


def _correlation(judged: Judged) -> float:
    return float(np.corrcoef(judged.ious, judged.ratings)[0, 1])


def tiny_config(changes: Sequence[str]) -> TeacherConfig:
    """The teacher of the tiny cards, with ``teacher.name=value`` changed."""
    values: dict[str, Any] = yaml.safe_load(shipped("sweeps/bases/tiny.yaml").read_text())
    teacher = values["recipe"]["teacher"]
    for change in changes:
        name, _, value = change.removeprefix("teacher.").partition("=")
        teacher[name] = yaml.safe_load(value)
    return TeacherConfig.model_validate(teacher)


def draw_table(lines: Sequence[tuple[str, ...]]) -> Table:
    """The lines under their headings."""
    table = Table(title="Teacher mIoU", title_justify="left")
    for name in COLUMNS:
        table.add_column(name, justify="left" if name in COLUMNS[:3] else "right")
    for line in lines:
        table.add_row(*line)
    return table


def done(rows: Path, config: TeacherConfig) -> set[tuple[str, float, str, int]]:
    """What is measured already, as it would be now."""
    found = read(rows) if rows.exists() else []
    now = [row for row in found if row.made_of == made_of(row.dataset, config)]
    return {(row.dataset, row.mask_share, row.kind, row.seed) for row in now}


def main(
    rows: Annotated[Path, typer.Argument(help="JSON Lines to add to.")],
    show: Annotated[bool, typer.Option(help="Print the table and measure nothing.")] = False,
    datasets: str = ",".join(DATASETS),
    shares: str = ",".join(map(str, SHARES)),
    kinds: str = ",".join(KINDS),
    seeds: int = 3,
    pictures: Annotated[int, typer.Option(help="Held-out pictures of each data set.")] = 200,
    changes: Annotated[list[str] | None, typer.Option("--set")] = None,
    cache: Annotated[Path, typer.Option(help="Pictures and embeddings.")] = Path(".omnicost/tuned"),
) -> None:
    """Measure what is missing, or print the table."""
    if show:
        Console(width=140).print(draw_table(table_lines(read(rows))))
        return
    torch.set_num_threads(1)  # as a sweep tunes them; two beside other work wait for each other
    config, root = tiny_config(changes or []), cache.resolve()
    names, wanted = datasets.split(","), (map(float, shares.split(",")), kinds.split(","))
    benches: dict[str, Bench] = {}
    # Seeds last: what is there at any time covers every data set, share and kind.
    for seed, name, share, kind in itertools.product(range(seeds), names, *wanted):
        if (name, share, kind, seed) in done(rows, config):
            continue
        if name not in benches:
            benches[name] = Bench(name, root, seeds, pictures)
        row = benches[name].measure(share, kind, seed, config)
        rows.parent.mkdir(parents=True, exist_ok=True)
        with rows.open("a") as file:
            file.write(row.model_dump_json() + "\n")
        print(json.dumps(row.model_dump()), flush=True)


if __name__ == "__main__":
    typer.run(main)
