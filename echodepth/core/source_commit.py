"""The commit of the code that made a result."""

import subprocess
from pathlib import Path


def source_commit() -> str:
    """The commit of the tree that this code runs from, "-dirty" if it differs; "unknown" when installed elsewhere."""
    here = Path(__file__)
    git = ["git", "-C", str(here.parent)]
    try:
        # An environment inside some other repository is not that repository's commit.
        subprocess.run([*git, "ls-files", "--error-unmatch", here.name], check=True, capture_output=True)
        described = subprocess.run(
            [*git, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            check=True,
            capture_output=True,
            text=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return described.stdout.strip()
