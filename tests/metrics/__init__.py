"""Prometheus' own tools against what the listener exposes and contrib/ makes of it."""
