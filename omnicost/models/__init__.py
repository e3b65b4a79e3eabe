"""Foundation models and students, loaded from released checkpoints or the tiny ones."""
