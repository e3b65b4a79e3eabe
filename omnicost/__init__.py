"""What to pay annotators for: measures, prices and plans weak labels for instance segmentation."""

__version__ = "0.1.0"
