"""Simulated RGB-D camera."""
