"""`omnicost plot`: pictures of results."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from omnicost.cli.shared import options
from omnicost.cli.shared.inputs import open_data_of
from omnicost.cli.shared.output import print_json
from omnicost.cli.shared.verbs import Verbs
from omnicost.errors import InputError
from omnicost.plot.points import CostUnit

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from omnicost.plot.pareto_info import ParetoInfo
    from omnicost.results import Row
    from omnicost.sweep.lookup import StoredMasks

plot = Verbs(name="plot", help="Draw results.", no_args_is_help=True)

ResultsOption = Annotated[
    list[Path] | None,
    typer.Option(help="Rows of a sweep (JSON Lines); repeats. The paper's if absent."),
]
DatasetsOption = Annotated[str | None, typer.Option(help="Data sets to draw, such as coco,ade20k.")]
VariantOption = Annotated[
    str | None, typer.Option(help="Variant to draw, where the rows hold several.")
]
OutOption = Annotated[Path, typer.Option(help="Picture to write: .png, .svg or .pdf.")]
WidthOption = Annotated[float, typer.Option(min=2, max=40, help="Width of the picture in inches.")]
UnitOption = Annotated[CostUnit, typer.Option(help="Seconds per image, total hours, or money.")]


@plot.command("pareto")
def pareto(
    results: ResultsOption = None,
    dataset: DatasetsOption = None,
    variant: VariantOption = None,
    unit: UnitOption = CostUnit.SECONDS,
    wage: options.Wage = None,
    currency: options.Currency = "usd",
    baselines: Annotated[
        bool, typer.Option("--baselines", help="Add what other methods published on COCO.")
    ] = False,
    out: OutOption = Path("pareto.png"),
    width: WidthOption = 7.2,
    force: options.Force = False,
    as_json: options.Json = False,
) -> None:
    """AP against annotation cost, with the Pareto front and what mixing can reach.

    The numbers go beside the picture as CSV.

    \b
    Example:
      omnicost plot pareto --out pareto.pdf
      omnicost plot pareto --results results/demo.jsonl --unit hours
      omnicost plot pareto --dataset coco --unit money --wage 9 --width 3.5
    """
    from omnicost.plot.pareto import pareto_figure
    from omnicost.plot.pareto_info import compute_pareto_info
    from omnicost.plot.style import refuse_picture

    refuse_picture(out, "dataset,policy,", results or (), force)
    rows = _read(results, dataset, variant)
    info = compute_pareto_info(rows, unit, wage, currency, baselines)
    _save(pareto_figure(info, width), info, out, as_json)


@plot.command("curves")
def curves(
    results: ResultsOption = None,
    dataset: DatasetsOption = None,
    variant: VariantOption = None,
    out: OutOption = Path("curves.png"),
    width: WidthOption = 7.2,
    force: options.Force = False,
    as_json: options.Json = False,
) -> None:
    """AP against the share of images with masks, one line an annotation type.

    The numbers go beside the picture as CSV.

    \b
    Example:
      omnicost plot curves --out curves.svg
      omnicost plot curves --results results/demo.jsonl
    """
    from omnicost.plot.curves import curves_figure
    from omnicost.plot.pareto_info import compute_pareto_info
    from omnicost.plot.style import refuse_picture

    refuse_picture(out, "dataset,policy,", results or (), force)
    info = compute_pareto_info(_read(results, dataset, variant))
    _save(curves_figure(info, width), info, out, as_json)


@plot.command("masks")
def masks(
    data: options.Data,
    cell: options.Cell = None,
    store: options.Store = Path("store"),
    pseudomasks: Annotated[
        Path | None, typer.Option(help="Without a cell: what the pseudo-mask step wrote.")
    ] = None,
    before: Annotated[
        Path | None, typer.Option(help="Another one on the same images: the untuned teacher's.")
    ] = None,
    detections: Annotated[Path | None, typer.Option(help="What the detect step wrote.")] = None,
    image: Annotated[
        list[int] | None, typer.Option(help="Id of an image to show; repeats.")
    ] = None,
    images: Annotated[
        int, typer.Option(min=1, max=40, help="Images drawn where none is named.")
    ] = 4,
    split: options.Split = "train",
    root: options.Root = None,
    seed: Annotated[int, typer.Option(help="Seed of the draw.")] = 0,
    out: OutOption = Path("masks.png"),
    width: WidthOption = 7.2,
    force: options.Force = False,
    as_json: options.Json = False,
) -> None:
    """Weak labels, prompts, pseudo-masks before and after tuning, and ground truth.

    A row an image; each instance keeps its colour, and a mask on no instance is grey.

    \b
    Example:
      omnicost plot masks ~/coco --cell coco/mask=0.1,point=0.9/seed=0
      omnicost plot masks ~/coco --pseudomasks tuned/ --before untuned/ \\
        --detections detections/ --image 139 --image 285
    """
    from omnicost.pipeline.quality.mask_examples import examples
    from omnicost.plot.masks import compute_masks_info, draw_masks
    from omnicost.plot.style import refuse_picture

    refuse_picture(out, "", (), force)
    found = _masks(cell, store, pseudomasks, before, detections)
    dataset = open_data_of(cell, store, found.data, data, split, root)
    shown = examples(
        dataset,
        found.after,
        found.before,
        found.detections,
        image or (),
        images,
        seed=seed,
        noise=found.noise,
        label_seed=found.seed,
    )
    info = compute_masks_info(shown)
    draw_masks(info, out, width)
    if as_json:
        rows = [
            {
                "image": row.example.name,
                "annotation": row.example.annotation,
                "mean_iou": {name: panel.mean_iou for name, panel in row.panels.items()},
                "without_mask": list(row.example.without_mask),
            }
            for row in info.rows
        ]
        print_json({"picture": str(out), "rows": rows})
    else:
        typer.echo(f"wrote {out}")
        for each in shown:
            if each.without_mask:
                typer.echo(f"without a mask: {each.name}: {', '.join(each.without_mask)}")


def _masks(
    cell: str | None,
    store: Path,
    pseudomasks: Path | None,
    before: Path | None,
    detections: Path | None,
) -> StoredMasks:
    """What to show: a finished cell's, or what is spelt out."""
    from omnicost.engine.store import Store
    from omnicost.sweep.lookup import StoredMasks, find_masks

    if cell and pseudomasks:
        raise InputError("--cell", "stands with --pseudomasks", "give one or the other")
    if cell:
        return find_masks(Store(store, create=False), cell)
    if pseudomasks is None:
        raise InputError("--cell", "is missing", "name one, or give --pseudomasks")
    return StoredMasks(pseudomasks, before, (detections,) if detections else (), "")


def _read(results: list[Path] | None, dataset: str | None, variant: str | None) -> list[Row]:
    from omnicost.cost import BUILT_IN
    from omnicost.results import paper_rows, read_rows

    wanted = [name.strip() for name in dataset.split(",")] if dataset else None
    if results:
        rows = [row for path in results for row in read_rows(path)]
    else:
        rows = [row for name in wanted or list(BUILT_IN) for row in paper_rows(name)]
    kept = [
        row
        for row in rows
        if (wanted is None or row.dataset in wanted) and variant in (None, row.variant)
    ]
    if not kept:
        have = ", ".join(sorted({f"{row.dataset} ({row.variant})" for row in rows}))
        raise InputError("--dataset, --variant", "no row is left", f"the rows hold {have}")
    return kept


def _save(figure: Figure, info: ParetoInfo, out: Path, as_json: bool) -> None:
    import json

    from omnicost.plot.pareto_info import info_frame
    from omnicost.plot.style import save

    save(figure, out, info_frame(info))
    numbers = out.with_suffix(".csv")
    if as_json:
        points = json.loads(info_frame(info).to_json(orient="records"))
        print_json({"picture": str(out), "numbers": str(numbers), "points": points})
    else:
        typer.echo(f"wrote {out} and its numbers, {numbers}")
