"""The plan's curve as plain coordinates, for an SVG that a template draws."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np

from omnicost.annotation import AnnotationType
from omnicost.campaign import words
from omnicost.campaign.report import PlanReport
from omnicost.plot.axes import compact, round_ticks
from omnicost.plot.plan import AxisLimits, Curve, PlanInfo, axis_limits, compute_plan_info
from omnicost.plot.style import COLOURS

WIDTH, HEIGHT = 720, 330
_LEFT, _RIGHT, _TOP, _BOTTOM = 54, 12, 14, 40


class Scale(NamedTuple):
    """From hours and percent of full supervision to pixels of the drawing."""

    ends: AxisLimits

    def x(self, hours: float) -> float:
        """Pixels from the left of hours on a logarithmic axis."""
        low, high = np.log([self.ends.low, self.ends.high])
        part = (np.log(max(hours, self.ends.low)) - low) / (high - low)
        return round(float(_LEFT + np.clip(part, 0, 1) * (WIDTH - _LEFT - _RIGHT)), 1)

    def y(self, percent: float) -> float:
        """Pixels from the top of a percentage."""
        part = (percent - self.ends.bottom) / (self.ends.top - self.ends.bottom)
        return round(float(HEIGHT - _BOTTOM - np.clip(part, 0, 1) * (HEIGHT - _TOP - _BOTTOM)), 1)


def chart(report: PlanReport) -> dict[str, Any]:
    """Everything that the drawing needs, in pixels, and the front's plans for the slider."""
    info = compute_plan_info(report.plan)
    scale = Scale(axis_limits(info))
    low, high = info.percent_interval
    cheap, dear = info.hours_interval
    return {
        "width": WIDTH,
        "height": HEIGHT,
        "left": _LEFT,
        "right": WIDTH - _RIGHT,
        "top": _TOP,
        "bottom": HEIGHT - _BOTTOM,
        "x_ticks": [(scale.x(h), compact(h)) for h in round_ticks(scale.ends.low, scale.ends.high)],
        "y_ticks": [(scale.y(p), f"{p:g}%") for p in _percent_ticks(scale.ends)],
        "types": [
            {
                "name": str(annotation),
                "colour": COLOURS[annotation],
                "points": _points(curve.tuned(), scale),
                "alone": _alone(curve, scale),
            }
            for annotation, curve in info.types.items()
        ],
        "best": _points(info.best, scale),
        "budget": _maybe(scale.x, info.budget_hours),
        "target": _maybe(scale.y, info.target_percent),
        "plan": {
            "x": scale.x(info.hours), "y": scale.y(info.percent),
            "x0": scale.x(cheap), "x1": scale.x(dear), "y0": scale.y(low), "y1": scale.y(high),
        },
        "rule": _rule(report, scale),
        "front": _front(report, info, scale),
    }  # fmt: skip


def _alone(curve: Curve, scale: Scale) -> dict[str, float] | None:
    """Where the type stands without a mask; None where that is free."""
    hours, percent = float(curve.hours[0]), float(curve.percent[0])
    return {"x": scale.x(hours), "y": scale.y(percent)} if hours >= scale.ends.low else None


def _rule(report: PlanReport, scale: Scale) -> dict[str, float] | None:
    """The rule of thumb, where it is another plan and costs something."""
    plan, rule = report.plan, report.plan.rule
    if rule is None or not rule.hours or np.array_equal(rule.images, plan.images):
        return None
    return {"x": scale.x(rule.hours), "y": scale.y(100 * rule.share)}


def _points(curve: Curve, scale: Scale) -> str:
    inside = curve.hours >= scale.ends.low
    pairs = zip(curve.hours[inside].tolist(), curve.percent[inside].tolist(), strict=True)
    return " ".join(f"{scale.x(hours)},{scale.y(percent)}" for hours, percent in pairs)


def _maybe(place: Any, value: float | None) -> float | None:
    return None if not value else place(value)


_STEPS: Final = (1, 2, 5, 10, 20)


def _percent_ticks(ends: AxisLimits) -> list[float]:
    step = next(s for s in _STEPS if (100 - ends.bottom) / s <= 7)
    return [float(p) for p in np.arange(np.ceil(ends.bottom / step) * step, 100.1, step)]


def _front(report: PlanReport, info: PlanInfo, scale: Scale) -> list[dict[str, Any]]:
    """The best plan of every budget on the curve, as the slider shows it."""
    best = info.best
    return [
        {
            "x": scale.x(hours),
            "y": scale.y(percent),
            "hours": words.hours_text(hours),
            "money": "" if report.pay is None else report.pay.of(hours),
            "percent": f"{min(percent, 100):.1f}%",
            "shares": shares(images),
        }
        for hours, percent, images in zip(
            best.hours.tolist(), best.percent.tolist(), best.images, strict=True
        )
        if hours >= scale.ends.low
    ]


def shares(images: np.ndarray) -> list[dict[str, Any]]:
    """The types of an allocation, strongest first, with what a bar and its legend need."""
    total = float(images.sum())
    return [
        {
            "name": str(annotation),
            "colour": COLOURS[annotation],
            "images": f"{int(images[annotation.strength]):,}",
            "share": round(100 * float(images[annotation.strength]) / total, 3),
            "percent": words.percent(float(images[annotation.strength]) / total),
        }
        for annotation in reversed(AnnotationType)
        if images[annotation.strength]
    ]
