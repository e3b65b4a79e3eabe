"""What is drawn: curves, Pareto fronts, masks."""
