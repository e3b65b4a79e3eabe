"""Everything that imports Ray; who needs none (cards, dry runs) imports this package late."""

from omnicost.engine.ray import environment  # noqa: F401  before Ray itself
