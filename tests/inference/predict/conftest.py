"""An RGB and an audio model in the test's own folder, and images to predict."""

import shutil
from pathlib import Path

import pytest

from tests.tiny import save_tiny, save_tiny_rgb


@pytest.fixture(autouse=True)
def models(tmp_path: Path, v2_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save_tiny_rgb(Path("checkpoints/eyes"), v2_root)
    save_tiny(Path("checkpoints/ears"), v2_root)


@pytest.fixture
def photos(v2_root: Path) -> Path:
    """Nested folders with two images and two other files."""
    first, second, *_ = sorted((v2_root / "Attic" / "camera").iterdir())
    Path("photos/deep/er").mkdir(parents=True)
    shutil.copy(first, "photos/a.png")
    shutil.copy(second, "photos/deep/er/b.PNG")
    Path("photos/notes.txt").touch()
    Path("photos/.hidden.png").touch()
    return Path("photos")
