"""Against a private real Docker Engine."""
