"""The engine on Ray: everything that imports it."""
