"""What several test files of the pipeline stand on."""

from pseudomask_world import world

__all__ = ["world"]
