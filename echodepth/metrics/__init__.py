"""Depth metrics and scoring protocols: pure functions of tensors and masks."""
