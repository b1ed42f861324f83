"""The ground floor: errors, files written whole, array stores, registries, flags, paths of a run."""
