"""A report as one self-contained page: no network, readable without script, prints on A4."""

from __future__ import annotations

import base64
import io
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np

from omnicost.annotation import AnnotationType
from omnicost.campaign import words
from omnicost.campaign.bill import Bill
from omnicost.campaign.calendar import Calendar
from omnicost.campaign.chart import chart, shares
from omnicost.campaign.report import PlanReport
from omnicost.files import MARK, output_file
from omnicost.plain_text import visible
from omnicost.plot.style import COLOURS

SAMPLE: Final = 12
_THUMBNAIL: Final = (320, 240)
_PARTS: Final = ("labelling", "review", "rework", "idle", "setup")


def write_page(report: PlanReport, path: Path) -> Path:
    """Write the page; returns its file.

    Raises:
        InputError: if it cannot be written.
    """
    with output_file(path) as part:
        part.write_text(page_html(report), encoding="utf-8", errors="backslashreplace")
    return path


def page_html(report: PlanReport) -> str:
    """The whole page."""
    return template("page.html.j2").render(mark=MARK, script=True, **_content(report))


def notebook_html(report: PlanReport) -> str:
    """The page's content for a notebook's cell, without script."""
    return template("notebook.html.j2").render(script=False, **_content(report))


class NotebookReport(PlanReport):
    """A plan with its bill and calendar, drawn where a notebook displays it."""

    def _repr_html_(self) -> str:
        return notebook_html(self)


def template(name: str, *packages: str) -> Any:
    """A page's template, of these packages or of this one, which has the style of every page."""
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=ChoiceLoader([PackageLoader(each) for each in (*packages, "omnicost.campaign")]),
        autoescape=True,
        finalize=lambda value: visible(value) if isinstance(value, str) else value,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)


def _content(report: PlanReport) -> dict[str, Any]:
    plan, pay, calendar = report.plan, report.pay, report.calendar
    *rows, total = words.allocation_rows(report)
    return {
        "title": words.title(report),
        "images": f"{plan.stats.images:,}",
        "asked": words.asked(report),
        "statistics": plan.stats.name,
        "headlines": list(_headlines(report)),
        "money": None if pay is None else pay.currency,
        "shares": shares(plan.images),
        "allocation": rows,
        "total": total,
        "outlook": _grouped(words.outlook(report)),
        "chart": chart(report),
        "bill": _bill(report.bill) if report.bill and report.bill.lines else None,
        "calendar": _calendar(calendar) if calendar and calendar.types else None,
        "runners_up": list(words.runner_up_rows(report)),
        "sample": sample(report),
        "cautions": list(words.cautions(report)),
        "grounds": list(words.grounds(report)),
        "colours": {str(annotation): colour for annotation, colour in COLOURS.items()},
    }


def _headlines(report: PlanReport) -> list[tuple[str, str, str]]:
    """Name, figure and small print of what a reader looks for first."""
    expected, risk, calendar = report.plan.expectation, report.plan.risk, report.calendar
    low, high = expected.share_interval
    small = f"of the AP of full supervision; 80%: {low:.1%} to {high:.1%}"
    found = [("Expected", words.full_percent(expected.share), small)]
    cheap, dear = map(words.hours_number, report.hours_interval)
    small = f"80%: {cheap} to {dear} h"
    if risk.over_budget is not None:
        small += f"; {risk.over_budget:.0%} chance to exceed the budget"
    money = "" if report.pay is None else f"{report.pay.of(report.hours)}; "
    found.append(("Spend", words.hours_text(report.hours), money + small))
    if calendar is not None and calendar.types:
        first, last = calendar.weeks_interval
        day = calendar.day(calendar.weeks)
        figure = words.weeks_text(calendar.weeks) if day is None else day.isoformat()
        small = f"80%: {words.weeks_range(first, last)}"
        if calendar.in_time is not None:
            deadline = words.deadline_text(calendar.team.weeks or 0)
            small += f"; {calendar.in_time:.0%} chance within {deadline}"
        found.append(("Done", figure, small))
    return found


def _grouped(lines: Any) -> list[tuple[str, list[str]]]:
    """Lines without a name belong to the one before."""
    groups: list[tuple[str, list[str]]] = []
    for name, text in lines:
        if name or not groups:
            groups.append((name, []))
        groups[-1][1].append(text)
    return groups


def _bill(bill: Bill) -> dict[str, Any]:
    longest = max(line.hours for line in bill.lines)
    bars = [
        {
            "name": str(line.annotation),
            "hours": words.hours_text(line.hours),
            "parts": [
                {"name": name, "width": round(100 * getattr(line, name) / longest, 2)}
                for name in _PARTS
            ],
        }
        for line in bill.lines
    ]
    return {
        "headings": words.BILL_HEADINGS,
        "rows": list(words.bill_rows(bill)),
        "bars": bars,
        "parts": [name for name in _PARTS if name != "setup" or bill.setup_hours],
        "line": words.overheads_line(bill),
    }


def _calendar(calendar: Calendar) -> dict[str, Any]:
    ends = [one.ends_interval.high for one in calendar.types]
    end = max([*ends, calendar.team.weeks or 0]) * 1.04

    def place(weeks: float) -> float:
        return round(100 * weeks / end, 2)

    steps = (0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 500, 5000)
    step = next((s for s in steps if end / s <= 9), 10 ** np.ceil(np.log10(end / 9)))
    return {
        "bars": [
            {
                "name": str(one.annotation),
                "colour": COLOURS[one.annotation],
                "left": place(one.begins),
                "width": max(place(one.ends) - place(one.begins), 0.6),
                "low": place(one.ends_interval.low),
                "span": place(one.ends_interval.high) - place(one.ends_interval.low),
            }
            for one in calendar.types
        ],
        "deadline": None if calendar.team.weeks is None else place(calendar.team.weeks),
        "ticks": [(place(week), f"{week:g}") for week in np.arange(0, end, step).round(1).tolist()],
        "headings": words.calendar_headings(calendar),
        "rows": list(words.calendar_rows(calendar)),
    }


def sample(report: PlanReport, most: int = SAMPLE) -> list[dict[str, str]]:
    """Some pictures with what each gets; none where they are not on this disk.

    A few of every type that is used, those first that the manifest lists first.
    """
    images = report.images
    if images is None or images.folder is None or images.names is None:
        return []
    assigned = report.assigned()
    used = [each for each in reversed(AnnotationType) if (assigned == each.strength).any()]
    count = max(1, most // max(len(used), 1))
    found: list[dict[str, str]] = []
    for annotation in used:
        rows = np.flatnonzero(assigned == annotation.strength)
        paths = [images.folder / images.names[row] for row in rows[: 5 * count].tolist()]
        drawn = ((path.name, uri) for path in paths if (uri := thumbnail(path)))
        for name, uri in islice(drawn, count):
            found.append({"name": name, "type": str(annotation), "uri": uri})
    return found


def thumbnail(path: Path) -> str | None:
    """A small JPEG of a picture as a data URI; None if it cannot be opened."""
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as picture:
            picture.draft("RGB", _THUMBNAIL)
            small = ImageOps.exif_transpose(picture).convert("RGB")
            small = ImageOps.fit(small, _THUMBNAIL)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=78)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
