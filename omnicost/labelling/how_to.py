"""The page that goes with a manifest, for whoever sets up the labelling tool."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from omnicost.annotation import AnnotationType
from omnicost.labelling.images import ImageList
from omnicost.labelling.label_studio import PLACEHOLDER

_HEAD: Final = """\
Which image gets which annotation (written by omnicost)

manifest.csv       every image and its annotation type. A name that a spreadsheet would run as a
                   formula has an apostrophe before it here; the other files have the exact names.
coco_TYPE.json     the images of a type as a COCO file without annotations, ready to be filled:
                   ids, sizes and categories are your own where you gave them.
"""
_TOOLS: Final = """\
label_studio_TYPE.xml, label_studio_TYPE.json, cvat_TYPE.json    see below

Label Studio, a project for each of: {types}
  1. Settings > Labeling Interface > Code: paste label_studio_TYPE.xml.
  2. Import: label_studio_TYPE.json. `image_id` and `file_name` come back in the export.
  Addresses of pictures begin with: {prefix}
  Pictures on the disk of the machine that runs Label Studio: start it with
      LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true
      LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT=/data
  add the folder with the pictures, such as /data/photos, under Settings > Cloud Storage > Add
  Source Storage > Local Files (without synchronising it: the tasks are imported), and plan with
      --image-prefix '/data/local-files/?d=photos/'

CVAT, a task for each type, with its SDK (pip install cvat-sdk):
      import json
      from cvat_sdk import make_client
      from cvat_sdk.core.proxies.tasks import ResourceType
      made = json.load(open("cvat_TYPE.json"))
      made["resource_type"] = ResourceType[made["resource_type"].upper()]
      with make_client("http://localhost:8080", credentials=("user", "password")) as client:
          client.tasks.create_from_data(**made)
  Pictures are names in CVAT's connected share; with --image-prefix https://... they are addresses.
  Its export does not say what a picture was given out for; manifest.csv does:
      omnicost data import annotations.xml --images PHOTOS --manifest manifest.csv --out labelled/
"""
_COUNTED: Final = """\
The images were given as a count: ids are places from 1, and there are no tasks for labelling
tools. Plan with --images and a folder or a COCO-format file for names and tasks.
"""


def how_to_import(images: ImageList, used: Sequence[AnnotationType], prefix: str) -> str:
    """What each file is for, and how it gets into a labelling tool."""
    if images.names is None:
        return f"{_HEAD}\n{_COUNTED}"
    types = ", ".join(each for each in used if each is not AnnotationType.NONE)
    shown = prefix or "nothing: names alone open nowhere. Give --image-prefix (below)."
    text = _HEAD + _TOOLS.format(types=types or "no type", prefix=shown)
    if images.class_names:
        return text
    return text + (
        f"\nClass names were not known: put yours in the place of '{PLACEHOLDER}' in the files, or "
        "plan\nwith --annotations and a COCO-format file that has categories.\n"
    )
