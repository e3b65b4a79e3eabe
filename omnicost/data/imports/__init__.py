"""Exports of labelling tools to sets with given labels; nothing is dropped in silence."""
