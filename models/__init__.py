"""The documented import paths of the two networks; the code lives in the ``echodepth`` package."""
