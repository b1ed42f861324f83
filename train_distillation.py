"""Train the student with its teacher: the same as `echodepth train distill`."""

import sys

from echodepth.cli import main

if __name__ == "__main__":
    main(["train", "distill", *sys.argv[1:]])
