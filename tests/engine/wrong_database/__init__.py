"""The listener is led to a database that is not the one that it knows."""
