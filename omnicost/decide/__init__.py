"""Which cell to measure next: a belief over cells, what a plan gains by it, when to stop."""
