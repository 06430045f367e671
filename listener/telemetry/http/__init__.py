"""The HTTP endpoint, for reading only."""
