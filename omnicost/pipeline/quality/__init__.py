"""How good pseudo-masks are: against true masks, by cross-fitting where few are known, by eye."""
