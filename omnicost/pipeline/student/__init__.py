"""The student: an instance segmenter, trained on real masks and pseudo-masks."""
