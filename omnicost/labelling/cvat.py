"""CVAT: what its SDK needs to create a task.

Source: cvat-sdk 2.80, `Client.tasks.create_from_data(spec, resources, resource_type=...)`; label
types from its `LabelTypeEnum`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from omnicost.annotation import AnnotationType
from omnicost.labelling.controls import CONTROLS
from omnicost.labelling.label_studio import PLACEHOLDER, address


def task_head(annotation: AnnotationType, class_names: Sequence[str], prefix: str) -> str:
    """A task's JSON text up to its list of resources."""
    labels = [
        {"name": name, "type": CONTROLS[annotation].cvat, "attributes": []}
        for name in class_names or [PLACEHOLDER]
    ]
    storage = "remote" if _is_web(prefix) else "share"
    head = {"spec": {"name": f"{annotation}", "labels": labels}, "resource_type": storage}
    return json.dumps(head)[:-1] + ', "resources": ['


def resource(name: str, prefix: str) -> str:
    """One picture: its web address, or its name under CVAT's connected share."""
    return json.dumps(address(name, prefix) if _is_web(prefix) else name)


def _is_web(prefix: str) -> bool:
    return prefix.startswith(("http://", "https://"))
