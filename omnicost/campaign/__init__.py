"""A project around its plan: the whole bill, the calendar, and the pages that tell of them.

`bill` splits the hours into labelling, review, rework, idle and set-up time, `calendar` simulates
the annotators week by week, `report` holds a plan with both, `text` and `html` are its pages.
"""
