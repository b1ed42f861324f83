"""Frozen, Hugging Face and cached teachers."""
