"""The simulated RGB-D camera."""
