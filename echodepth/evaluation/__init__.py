"""Evaluation of trained models and controls, and the comparison report."""
