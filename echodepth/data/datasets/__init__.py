"""One file a dataset: how it is listed, and how its depth maps are read."""
