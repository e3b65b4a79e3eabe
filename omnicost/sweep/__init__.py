"""The paper's grid: cards, cells, their stages, prices, rows and what is shown."""
