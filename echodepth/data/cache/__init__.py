"""Memory-mapped copies of a decoded split."""
