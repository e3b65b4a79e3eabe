"""Work for annotators: which image gets which annotation, and the files that say so."""

from omnicost.labelling.assignment import assign
from omnicost.labelling.images import ImageList, read_images
from omnicost.labelling.manifest import Manifest, write_manifest

__all__ = ["ImageList", "Manifest", "assign", "read_images", "write_manifest"]
