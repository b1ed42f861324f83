"""Binaural cross-attention: kernels, and what a trained layer attends to."""
