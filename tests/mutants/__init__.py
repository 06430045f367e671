"""Mistakes made on purpose, each with the test that has to notice it: ``make mutants``."""
