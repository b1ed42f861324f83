"""Metrics, named protocols, evaluation and the comparison page."""
