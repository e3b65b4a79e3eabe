"""Models that draw masks for prompts: what a teacher is made of."""
