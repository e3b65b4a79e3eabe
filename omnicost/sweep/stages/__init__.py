"""The paper's pipeline as stages of the engine: what each cell needs, is told and does."""
