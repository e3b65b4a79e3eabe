"""The teacher: class-aware SAM, tuned on the images with masks."""
