"""Datasets: readers, decoding, augmentation, prepared data, shards and the data module."""
