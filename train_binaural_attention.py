"""Train the audio student: the same as `echodepth train binaural`."""

import sys

from echodepth.cli import main

if __name__ == "__main__":
    main(["train", "binaural", *sys.argv[1:]])
