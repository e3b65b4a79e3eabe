"""Damaged input of every kind, and what each must get: one table, run by tests and counted."""
