"""Examination of a dataset before training: files, audio, depth, alignment, duplicates and leaks."""
