"""How well the planner keeps its word: predictions and plans against what was recorded."""
