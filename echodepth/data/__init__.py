"""Readers, audio cutting, paired augmentation and the data module."""
