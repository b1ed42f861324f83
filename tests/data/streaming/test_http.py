"""Shards over HTTP: read, kept under their hash, and fetched again where a connection breaks."""

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from echodepth import cli
from echodepth.core.errors import DataError
from echodepth.core.flags import flat
from echodepth.data.recorded import trained_data
from echodepth.data.streaming import reader
from tests.data.streaming.shards import module, names, order
from tests.tiny import save_tiny


class Server:
    """The folder on localhost; what is asked for is noted, and answers can be cut short."""

    def __init__(self, folder: Path) -> None:
        self.asked: list[str] = []
        self.cuts = 0
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, self, directory=str(folder)))
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()


class Handler(SimpleHTTPRequestHandler):
    def __init__(self, owner: Server, *rest: Any, **settings: Any) -> None:
        self.owner = owner
        super().__init__(*rest, **settings)

    def do_GET(self) -> None:
        self.owner.asked.append(self.path)
        super().do_GET()

    def copyfile(self, source: Any, outputfile: Any) -> None:
        if self.path.endswith(".tar") and self.owner.cuts > 0:
            self.owner.cuts -= 1
            outputfile.write(source.read(400_000))
            self.close_connection = True
            return
        super().copyfile(source, outputfile)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def web(shards: Path) -> Iterator[Server]:
    server = Server(shards)
    yield server
    server.server.shutdown()
    server.server.server_close()


def test_shards_are_read_over_http_by_this_process_and_by_others(shards: Path, web: Server) -> None:
    assert names(web.address) == names(shards)
    for workers in (0, 2):
        assert order(module(web.address, num_workers=workers), 1) == order(module(shards, num_workers=workers), 1)


def test_fetched_shards_are_kept_under_their_hash(shards: Path, web: Server, tmp_path: Path) -> None:
    first = names(web.address, shard_cache=tmp_path)
    web.asked.clear()
    assert names(web.address, shard_cache=tmp_path) == first == names(shards)
    assert web.asked == ["/index.json"]
    assert len(list(tmp_path.iterdir())) == 5
    one = sorted(tmp_path.iterdir())[0]
    one.write_bytes(b"cut short")
    assert names(web.address, shard_cache=tmp_path) == first
    kept = bytearray(one.read_bytes())
    kept[1000] ^= 1
    one.write_bytes(kept)
    with pytest.raises(DataError, match=rf"{one.name} is damaged and removed: start again, and the shard is fetched"):
        names(web.address, shard_cache=tmp_path)
    assert names(web.address, shard_cache=tmp_path) == first


def test_a_broken_connection_is_taken_up_again_and_not_for_ever(
    shards: Path, web: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(reader, "RETRIES", (0.0, 0.0))
    web.cuts = 2
    assert names(web.address) == names(shards)
    for flags in (dict[str, Any](), {"shard_cache": tmp_path}):
        web.cuts = 10
        with pytest.raises(DataError, match=r"http://127\.0\.0\.1:\d+/train-000000\.tar"):
            names(web.address, **flags)
    assert not list(tmp_path.iterdir())


def test_a_cache_that_cannot_be_written_is_not_taken_for_a_damaged_shard(web: Server, tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.touch()
    with pytest.raises(OSError, match="taken"):
        names(web.address, shard_cache=taken)


def test_an_address_keeps_its_slashes_from_the_command_line_to_the_model(
    tmp_path: Path,
) -> None:
    for given, read in (("s3://bucket/rooms", "s3://bucket/rooms"), ("some/folder", Path("some/folder"))):
        for command in (["train", "rgb"], ["evaluate", "--checkpoint", "a"]):
            assert flat(cli.parse([*command, "--data_dir", given])[1])["data_dir"] == read
    model = save_tiny(
        tmp_path / "a", Path("x"), data_dir="s3://bucket/rooms", shard_cache="kept", check_hashes=True
    )  # --verify was called so
    data = trained_data(model)
    assert (data.data_dir, data.address, data.shard_cache) == ("s3://bucket/rooms", "s3://bucket/rooms", Path("kept"))
