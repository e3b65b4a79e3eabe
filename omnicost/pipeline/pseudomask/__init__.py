"""Pseudo-masks: weak labels to prompts, refined boxes and drawn masks."""
