"""Prepared data: a decoded split in memory-mapped arrays."""
