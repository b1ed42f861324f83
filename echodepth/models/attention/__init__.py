"""Binaural cross-attention: forms, kernels, and what a trained layer attends to."""
