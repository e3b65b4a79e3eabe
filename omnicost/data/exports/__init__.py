"""Data sets leave: for other trainers, for evaluators, for annotators."""
