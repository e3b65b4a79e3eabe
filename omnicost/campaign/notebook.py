"""A plan as a notebook shows it."""

from __future__ import annotations

from omnicost.campaign.html import notebook_html
from omnicost.campaign.report import PlanReport


class NotebookReport(PlanReport):
    """A plan with its bill and calendar, drawn where a notebook displays it."""

    def _repr_html_(self) -> str:
        return notebook_html(self)
