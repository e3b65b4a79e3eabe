"""`omnicost calibrate`: logs of a labelling tool to labelling times."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from omnicost.cli.shared import options
from omnicost.cli.shared.door import as_options
from omnicost.cli.shared.output import new_console, plain_table, print_json
from omnicost.errors import InputError
from omnicost.files import MARK, output_file, refuse_to_replace

if TYPE_CHECKING:
    from rich.table import Table

    from omnicost.calibrate import Calibration, Estimate, Timings
    from omnicost.cost import Overheads


def calibrate(
    files: Annotated[
        list[Path], typer.Argument(help="Label Studio JSON exports or CSVs of timed annotations.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="YAML to write, for --times.")
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(
            "--type", help="What was timed: class, point, point_further, scribble, box or mask."
        ),
    ] = None,
    per_row: Annotated[
        float | None, typer.Option(min=0.001, help="Annotations in a row that does not count them.")
    ] = None,
    only: Annotated[str | None, typer.Option(help="Rows to use, as column=value.")] = None,
    seconds_column: Annotated[str | None, typer.Option(help="Column of a row's seconds.")] = None,
    count_column: Annotated[
        str | None, typer.Option(help="Column of annotations in a row.")
    ] = None,
    annotator_column: Annotated[str | None, typer.Option(help="Column of the annotator.")] = None,
    type_column: Annotated[str | None, typer.Option(help="Column of the annotation type.")] = None,
    ended_column: Annotated[
        str | None, typer.Option(help="Column of when a row ended (ISO 8601).")
    ] = None,
    activity_column: Annotated[
        str | None, typer.Option(help="Column of label, review, rework or setup.")
    ] = None,
    keep_idle: Annotated[
        bool, typer.Option("--keep-idle", help="Keep rows that look like idle time.")
    ] = False,
    force: options.Force = False,
    as_json: options.Json = False,
) -> None:
    """Labelling times of your own annotators, from a labelling tool's log.

    Reads Label Studio exports (lead_time) and delimited text, drops idle rows
    and says which, and gives bootstrap intervals by type and annotator. Where
    the log shows them: shares of review, rework and idle time, and learning.

    \b
    Example:
      omnicost calibrate export.json --out times.yaml
      omnicost calibrate timings.csv --type mask --only method=Manual
      omnicost cost --dataset coco --times times.yaml
    """
    from omnicost import calibrate as calibration
    from omnicost.calibrate import ReadOptions

    if out is not None:
        refuse_to_replace(out, inputs=files, force=force)

    columns = ReadOptions(
        label=label,
        seconds=seconds_column,
        count=count_column,
        annotator=annotator_column,
        type=type_column,
        ended=ended_column,
        activity=activity_column,
        per_row=per_row,
        only=_parse_only(only),
    )
    parts = [calibration.read_timings(path, columns) for path in files]
    timings = calibration.concatenate(parts)
    result = calibration.calibrate(timings, drop_idle=not keep_idle)
    source = f"calibrated on {', '.join(path.name for path in files)}"
    if out is not None:
        with output_file(out) as part:
            part.write_text(f"# {MARK}\n{result.labelling_times(source).to_yaml()}", "utf-8")
    if as_json:
        print_json(_payload(result, timings, source))
    else:
        _print_report(result, timings, out)


def _parse_only(text: str | None) -> tuple[str, str] | None:
    if text is None:
        return None
    column, found, value = text.partition("=")
    if not found:
        raise InputError("--only", f"{text!r} is not column=value", "write method=Manual")
    return column.strip(), value.strip()


def _print_report(result: Calibration, timings: Timings, out: Path | None) -> None:
    console = new_console()
    console.print(_table(result))
    console.print()
    for line in _findings(result, timings):
        console.print(line)
    for line in result.warnings:
        console.print(f"warning {line}", style="yellow")
    if out is None:
        console.print("\nNothing written: give --out times.yaml for a file.", style="dim")
    else:
        console.print(f"\nWrote {out}: use it with --times {out}", soft_wrap=True)


_MOST_ANNOTATORS = 20


def _table(result: Calibration) -> Table:
    from rich.text import Text

    from omnicost.cost import LabellingTimes
    from omnicost.cost.times import constant_of

    table = plain_table(
        "label", "s each", "95% interval", "log sd", "rows", "annotations", "published"
    )
    for label, row in result.labels.items():
        cells = _cells(row, f"{result.log_sd[label]:.2f}")
        published = getattr(LabellingTimes(), constant_of(label)).seconds
        table.add_row(Text(label, style="bold"), *cells, f"{published:g}")
        people = [(who, own) for (what, who), own in result.annotators.items() if what == label]
        if len(people) > 1:
            for who, own in people[:_MOST_ANNOTATORS]:
                table.add_row(f"  {who or 'unknown'}", *_cells(own, ""), "")
        if len(people) > _MOST_ANNOTATORS:
            table.add_row(f"  and {len(people) - _MOST_ANNOTATORS} more", *[""] * 6)
    return table


def _cells(row: Estimate, log_sd: str) -> list[str]:
    low, high = row.interval
    return [
        f"{row.seconds:.2f}",
        f"{low:.2f} - {high:.2f}",
        log_sd,
        f"{row.rows:,}",
        f"{row.annotations:,.0f}",
    ]


def _findings(result: Calibration, timings: Timings) -> list[str]:
    lines = []
    for label, idle in result.idle.items():
        if idle.rows:
            share = f"{idle.rows:,} row{'s' if idle.rows > 1 else ''}, {idle.hours:.2f} h"
            lines.append(
                f"{label}: dropped as idle: {share} (longest {idle.longest_seconds:,.0f} s)"
            )
    lines.append(f"kept {result.kept_hours:.2f} h of work")
    lines += [f"left out: {count:,} rows {why}" for why, count in timings.unused.items()]
    spreads = result.project_log_sd.items()
    lines += [f"{label}: log sd between annotators {sd:.2f}" for label, sd in spreads]
    lines += [f"{label}: {_overhead_line(one)}" for label, one in result.overheads.items()]
    for label, one in result.learning.items():
        lines.append(
            f"{label}: learning: first labels take {1 + one.extra:.2f} times as long, "
            f"most of it gone after {2 * one.hours:g} h"
        )
    return lines + [f"note: {as_options(note)}" for note in timings.notes]


def _overhead_line(one: Overheads) -> str:
    from omnicost.cost.overheads import SHARES

    known = {name: of for name, of in SHARES.items() if name in one.known}
    shares = [f"{name} {getattr(one, name):.1%} {of}" for name, of in known.items()]
    setup = [f"set-up {one.setup_hours:.1f} h"] if "setup_hours" in one.known else []
    return ", ".join(shares + setup)


def _payload(result: Calibration, timings: Timings, source: str) -> dict[str, Any]:
    return {
        "times": result.labelling_times(source).model_dump(mode="json", by_alias=True),
        "idle": {label: idle._asdict() for label, idle in result.idle.items()},
        "kept_hours": result.kept_hours,
        "overheads": {str(label): one.model_dump() for label, one in result.overheads.items()},
        "learning": {label: one.model_dump() for label, one in result.learning.items()},
        "left_out": dict(timings.unused),
        "notes": list(timings.notes),
        "warnings": list(result.warnings),
    }
