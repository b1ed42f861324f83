"""Train the RGB teacher: the same as `echodepth train rgb`."""

import sys

from echodepth.cli import main

if __name__ == "__main__":
    main(["train", "rgb", *sys.argv[1:]])
