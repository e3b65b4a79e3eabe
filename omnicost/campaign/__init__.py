"""A project around its plan: the whole bill, the calendar, and the pages that tell of them.

`bill` splits the hours into labelling, review, rework, idle and set-up time. `calendar` says when a
`team` is done: it lets the `days` of its work pass in many `worlds`. `report` holds a plan with
both, `words` says all that pages say, `text` and `html` (with the `chart`) are the pages.
"""
