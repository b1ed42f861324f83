"""Check what is to be published: the files of the wheel in dist/, its metadata, and the links of its description."""

import argparse
import email
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIRED = ("echodepth/py.typed", "echodepth/cli.py", "echodepth/examples/hall.wav", "echodepth/examples/hall.jpg")
OUTSIDE_A_SOURCE_DISTRIBUTION = ("data/", "checkpoints/", "results/", "logs/", "site/", "wandb/")


def wheel_faults(wheel: Path, tracked: set[str]) -> list[str]:
    """What is wrong with a wheel; empty if nothing is.

    Args:
        wheel: the file.
        tracked: the repository's files below ``echodepth/``.
    """
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        metadata = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        message = email.message_from_bytes(archive.read(metadata))
    faults = [f"missing: {name}" for name in sorted((tracked | {*REQUIRED}) - names)]
    faults += [f"does not belong into the wheel: {name}" for name in sorted(names - tracked)]
    text = message.get_payload()
    assert isinstance(text, str)
    faults += [f"relative link on PyPI: {link}" for link in re.findall(r"\]\((?!https?:|#)([^)\s]+)\)", text)]
    version = str(message["Version"])
    if wheel.name.split("-")[1] != version:
        faults.append(f"{wheel.name} holds version {version}")
    return faults


def source_faults(archive: Path) -> list[str]:
    """What is wrong with a source distribution: outputs and data in it."""
    with tarfile.open(archive) as opened:
        names = [name.partition("/")[2] for name in opened.getnames()]
    return [
        f"does not belong into the source: {name}" for name in names if name.startswith(OUTSIDE_A_SOURCE_DISTRIBUTION)
    ]


def placeholders(wheel: Path) -> list[str]:
    """Addresses that hold OWNER in place of an account."""
    with zipfile.ZipFile(wheel) as archive:
        metadata = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return sorted({*re.findall(r"https://\S*/OWNER/[\w-]+", archive.read(metadata).decode())})


def main() -> None:
    """Check dist/ and fail with all faults."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--release", action="store_true", help="refuse the placeholder of the repository's address")
    is_release = parser.parse_args().release
    dist = ROOT / "dist"
    (wheel,), (archive,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
    listed = subprocess.run(["git", "ls-files", "echodepth"], cwd=ROOT, check=True, capture_output=True, text=True)
    faults = wheel_faults(wheel, {*listed.stdout.splitlines()}) + source_faults(archive)
    if unset := placeholders(wheel):
        text = f"{', '.join(unset)}: put the repository's address into REPOSITORY of setup.py"
        faults += [text] if is_release else []
        print(f"before a release: {text}", file=sys.stderr)
    if faults:
        raise SystemExit("\n".join(faults))
    print(f"{wheel.name}: {len(listed.stdout.splitlines())} files of the package and nothing else")


if __name__ == "__main__":
    main()
