"""Models that find classes named in a caption."""
