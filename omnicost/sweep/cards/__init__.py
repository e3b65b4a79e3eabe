"""Cards: what a sweep runs, read from YAML files and checked."""
