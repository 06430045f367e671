"""The Docker side: the engine's API, and the watch that keeps the index."""
