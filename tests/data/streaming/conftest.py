"""Files of a tiny set, and the same as shards."""

import shutil
from pathlib import Path

import pytest

from echodepth.data.streaming.writer import shard
from tests.configs import shard_config
from tests.data.streaming.shards import SHORT, SMALL
from tests.roots import write_v2_root


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of 24 samples in two locations for training, and as many to validate and test; read only."""
    return write_v2_root(tmp_path_factory.mktemp("files"), rows=12)


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    """The same in five shards a split, the last of four samples; read only."""
    return shard(shard_config(data_dir=root, out=tmp_path_factory.mktemp("shards"), **SHORT, **SMALL))


@pytest.fixture
def spoilt(shards: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(shards, tmp_path / "spoilt"))
