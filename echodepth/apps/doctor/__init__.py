"""What is wrong with a dataset, before a network learns it."""
