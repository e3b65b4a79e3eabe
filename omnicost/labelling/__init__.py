"""Work for annotators: which image gets which annotation, and the files that say so."""

from omnicost.labelling.assignment import assign, read_masks_first
from omnicost.labelling.images import ImageList, read_images
from omnicost.labelling.in_hand import read_labels_in_hand
from omnicost.labelling.manifest import Manifest, write_manifest

__all__ = [
    "ImageList",
    "Manifest",
    "assign",
    "read_images",
    "read_labels_in_hand",
    "read_masks_first",
    "write_manifest",
]
