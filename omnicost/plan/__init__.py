"""Plans: which images get which annotation, for the most AP or the least money."""
