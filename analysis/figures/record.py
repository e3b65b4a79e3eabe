"""Keep examples of masks for Figures 6, 7 and 8 from the store of the tiny cards.

Needs the sweep's packages and a store in which the cards named below have run:

    python -m analysis.figures.record --store store --out results/tiny
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from analysis.figures.examples import save_examples
from omnicost.data import Dataset, open_dataset
from omnicost.engine.graph import by_role
from omnicost.engine.manifest import StageManifest
from omnicost.engine.store import Store
from omnicost.errors import MissingError
from omnicost.pipeline.quality.mask_examples import examples
from omnicost.plot.masks import MaskExample
from omnicost.sweep.lookup import StoredMasks, find_masks
from omnicost.sweep.rows import SOURCE_PREFIX

# The paper's rows: points and boxes on COCO, points on the others, all tuned on 1%.
TUNED = (
    ("tiny-coco", "mask=0.01,point=0.99"),
    ("tiny-coco", "mask=0.01,box=0.99"),
    ("tiny-ade20k", "mask=0.01,point=0.99"),
    ("tiny-cityscapes", "mask=0.01,point=0.99"),
)
REFINED = (("tiny-coco", "mask=0.1,point=0.9"),)
ALIASES = ("", "/own", "/plain")  # of tiny-trunk and tiny-robust
CLASS_PROMPTS = "pseudo-masks mask=0.1,point=0.9 tiny-coco"  # of the card tiny-table5


def of_cells(store: Store, cells: tuple[tuple[str, str], ...], count: int) -> Iterator[MaskExample]:
    """Some images of finished cells, with the released teacher's masks before the tuned one's."""
    for dataset, policy in cells:
        found = _masks_of(store, f"{dataset}/{policy}/seed=0")
        data = _opened(store, dataset)
        for example in examples(data, found.after, found.before, found.detections, images=count):
            yield example._replace(name=f"{dataset}  {Path(example.name).stem}")


def _masks_of(store: Store, name: str) -> StoredMasks:
    """A cell's masks, under whichever name a card first made its student: all share the masks."""
    names = {f"student {name}{alias}" for alias in ALIASES}
    for found in store.manifests():
        if found.label in names:
            return find_masks(store, SOURCE_PREFIX + found.key)
    return find_masks(store, name)


def of_class_prompts(store: Store, count: int) -> Iterator[MaskExample]:
    """Points alone, the tuned teacher without class prompts (before) and with them (after)."""
    plain, aware = (_lone_points(store, kind).key for kind in ("point/plain", "point/class"))
    data = _opened(store, "tiny-coco")
    yield from examples(data, store.path(aware), store.path(plain), images=count)


def _lone_points(store: Store, kind: str) -> StageManifest:
    """Pseudo-masks of points that GroundingDINO had no part in, by the teacher's kind."""
    for found in store.manifests():
        teacher = found.inputs.get("teacher.mask") or found.inputs.get("teacher.point")
        if found.label == CLASS_PROMPTS and not by_role(found.inputs, "detections.") and teacher:
            told = store.manifest(teacher).label
            if told.startswith(f"teacher {kind} ") and told.endswith("seed=0"):
                return found
    raise MissingError(store.root, f"no masks of lone points by {kind}", "sweep tiny-table5 first")


def _opened(store: Store, name: str) -> Dataset:
    return open_dataset(name, "train", cache=store.root / "data")


def main(
    store: Annotated[Path, typer.Option("--store", help="Store of the tiny cards.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of figure6.npz and so on.")],
) -> None:
    """Write the examples of the three figures."""
    opened = Store(store, create=False)
    save_examples(out / "figure6.npz", list(of_cells(opened, TUNED, 2)))
    save_examples(out / "figure7.npz", list(of_cells(opened, REFINED, 4)))
    save_examples(out / "figure8.npz", list(of_class_prompts(opened, 4)))


if __name__ == "__main__":
    typer.run(main)
