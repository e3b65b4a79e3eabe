"""Label Studio: the labelling interface of an annotation type, and its import tasks.

Sources: https://labelstud.io/tags (controls), https://labelstud.io/guide/tasks (import format).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Final
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from omnicost.annotation import AnnotationType
from omnicost.labelling.controls import CONTROLS

PICTURE: Final = "image"  # of the picture in the interface, and of its address in a task
PLACEHOLDER: Final = "object"
"""The one label of an interface whose class names are not known."""


def interface(annotation: AnnotationType, class_names: Sequence[str]) -> str:
    """The labelling interface, an XML text that goes into a project's settings."""
    return view(CONTROLS[annotation].label_studio, class_names or [PLACEHOLDER])


def view(controls: Iterable[tuple[str, str]], class_names: Sequence[str]) -> str:
    """An interface of the picture and some controls, each a tag and a name."""
    picture = f'  <Image name="{PICTURE}" value="${PICTURE}" zoom="true" zoomControl="true"/>\n'
    drawn = "".join(_control(tag, name, class_names) for tag, name in controls)
    return f"<View>\n{picture}{drawn}</View>\n"


def _control(tag: str, name: str, class_names: Sequence[str]) -> str:
    one, extra = ("Choice", ' choice="multiple"') if tag == "Choices" else ("Label", "")
    labels = "".join(f"    <{one} value={quoteattr(text)}/>\n" for text in class_names)
    return f'  <{tag} name="{name}" toName="{PICTURE}"{extra}>\n{labels}  </{tag}>\n'


def address(name: str, prefix: str) -> str:
    """Where Label Studio finds a picture: the prefix as it is, the name percent-encoded.

    Names may hold spaces, `#`, `?` and `%`, and after `/data/local-files/?d=` also `&` and `+`.
    """
    return prefix + quote(name, errors="surrogateescape")


def task(annotation: AnnotationType, image_id: int, name: str, prefix: str) -> str:
    """One import task as JSON text: the address, and what the export gives back to match it by."""
    data = {
        PICTURE: address(name, prefix),
        "image_id": image_id,
        "file_name": name,
        "annotation_type": str(annotation),
    }
    return json.dumps({"data": data})
