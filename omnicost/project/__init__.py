"""A labelling project after its plan: a model from the labels that people made, and its use."""
