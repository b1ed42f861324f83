"""Datasets larger than a disk: tar shards, their index, their sequential reader and their writer."""
