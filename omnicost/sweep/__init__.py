"""The grid on Ray: cards, graph, store, runner."""
