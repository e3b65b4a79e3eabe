"""Figures 1, 6, 7 and 8 of the paper, from recorded rows and recorded examples."""
