"""Declared experiments: many runs, one table."""
