"""On-disk layouts to one `Dataset`; splits; weak labels; the tiny world."""
