"""Tests against real SQLite files that another process writes."""
