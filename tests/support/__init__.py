"""Tools of the tests: they know the world from its description, never from `listener`."""
