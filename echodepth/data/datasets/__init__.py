"""The readers of the built-in datasets, one module each; ``echodepth.data.dataset_registry`` holds the registry."""
