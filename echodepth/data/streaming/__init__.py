"""Datasets larger than a disk: tar shards, written, indexed and read in order."""
