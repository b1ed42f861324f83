"""``python -m echodepth`` is the command ``echodepth``."""

from echodepth.cli import main

if __name__ == "__main__":
    main()
