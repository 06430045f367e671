"""Tests of the decision path: no Docker Engine, no database, no sleep."""
