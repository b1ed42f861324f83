"""Names out of data stay below their root: every reader that takes a name from a table, list, index or archive."""

import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from echodepth.core.array_store import ArrayStore
from echodepth.core.errors import DataError, EchodepthError
from echodepth.core.integrity import seal
from echodepth.core.safe_paths import DataRoot, plain_name, relative_path
from echodepth.data.config import data_config
from echodepth.data.dataset import open_dataset
from echodepth.data.opening import open_split
from echodepth.data.streaming import reader
from echodepth.data.streaming.index import INDEX
from echodepth.data.streaming.journal import FILE, Journal
from echodepth.data.streaming.writer import shard
from echodepth.inference.config import PredictConfig
from echodepth.inference.predict import predict
from tests.configs import shard_config
from tests.roots import v1, v2, write_rgbd_root, write_v1_root, write_v2_root
from tests.tiny import save_tiny, write_v2

LEADS_OUT = (
    *("../secret.npy", "a/../../secret.npy", "..", "/etc/passwd", "//host/share/x.npy"),
    *("C:/secret.npy", "c:secret.npy", "..\\secret.npy", "a\\..\\..\\secret.npy", "\\\\host\\share\\x.npy"),
    *("a\0.npy", "a\n.npy", "a\x1b[2J.npy", 256 * "a", f"{300 * 'a'}/b", 128 * "é"),
)
"""Names that lead out of a folder on some system, or that no file should have."""
HARMLESS = (
    255 * "a",
    f"{200 * 'a'}/{200 * 'b'}",
    127 * "é",
    *("depth_1.npy", "Salle Chevalier/depth/1.npy", "a..b.npy", "./a.npy", "dépôt/…npy", "12:30:01.wav", "a/..b"),
)


@pytest.mark.parametrize("name", [*LEADS_OUT, "", None, 3, ["a"], "\ud800"])
def test_names_that_lead_elsewhere_are_refused_with_their_row(name: object, tmp_path: Path) -> None:
    for refuse in (relative_path, plain_name):
        with pytest.raises(DataError, match=r"^table\.csv, line 3: ") as error:
            refuse(name, "table.csv, line 3")
        assert str(error.value).isprintable()  # a message must not steer the terminal either
    with pytest.raises(DataError, match="line 3"):
        DataRoot(tmp_path).join("line 3", "folder", name)


@pytest.mark.parametrize("name", HARMLESS)
def test_names_of_files_below_the_root_are_taken(name: str, tmp_path: Path) -> None:
    assert DataRoot(tmp_path).join("line 3", name) == tmp_path / name
    if Path(name).name != name:
        with pytest.raises(DataError, match="no plain file name"):
            plain_name(name, "line 3")


def test_links_are_followed_within_the_root_only(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    for folder in (root / "own", elsewhere):
        folder.mkdir(parents=True)
        (folder / "a.npy").touch()
    for link, target in {
        **{root / "own/out.npy": elsewhere / "a.npy", root / "out": elsewhere, root / "up": Path("..")},
        **{root / "own/in.npy": root / "own/a.npy", root / "in": root / "own", tmp_path / "linked": root},
    }.items():
        link.symlink_to(target)
    for given in (root, tmp_path / "linked"):  # the user may give a link as the root
        names = DataRoot(given)
        for inside in ("own/.", "own/a.npy", "own/in.npy", "in/a.npy", "own/absent.npy", "absent/a.npy"):
            assert names.join("line 3", inside) == given / inside
        for outside in ("own/out.npy", "out/a.npy", "out/absent.npy", "out/.", "out/", "./out", "up/elsewhere/a.npy"):
            with pytest.raises(DataError, match=r"^line 3: .* is a link to a place outside .*: put the file itself"):
                names.join("line 3", outside)


def test_links_of_one_folder_are_not_taken_for_those_of_another(tmp_path: Path) -> None:
    """What was found in a folder is kept by the names that lead to it, of which there may be several."""
    for folder in ("root/own/deep", "root/own/other"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "secret").touch()
    for link in ("root/own/a", "root/own/deep/a"):
        (tmp_path / link).symlink_to(tmp_path / "secret")
    names = DataRoot(tmp_path / "root")
    for inside in (("a",), ("own/other/a",), ("own", "other", "a"), ("own", "other/a")):
        assert names.join("line 3", *inside) == (tmp_path / "root").joinpath(*inside)
    for outside in (("own", "a"), ("own/deep/a",), ("own", "deep", "a"), ("own", "deep/a")):
        with pytest.raises(DataError, match="is a link to a place outside"):
            names.join("line 3", *outside)


def rewritten(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def v1_table(root: Path, name: str) -> Callable[[], object]:
    write_v1_root(root, rows=1)
    first = (root / "train.csv").read_text().splitlines()[1].split(",")[0]
    rewritten(root / "train.csv", first, name)
    return lambda: open_dataset(v1(root), "train")


def v2_folder(root: Path, name: str) -> Callable[[], object]:
    write_v2_root(root, ("Attic",), rows=1)
    rewritten(root / "Attic/train.csv", "Attic/camera/", name)
    return lambda: open_dataset(v2(root), "train", ("image",))


def v2_file(root: Path, name: str) -> Callable[[], object]:
    write_v2_root(root, ("Attic",), rows=1)
    rewritten(root / "Attic/train.csv", "audio_0.wav", name)
    return lambda: open_dataset(v2(root), "train", ("audio",))


def association_list(root: Path, name: str) -> Callable[[], object]:
    write_rgbd_root(root)
    table = next(root.glob("assoc*.txt"))
    lines = [line.split() for line in table.read_text().splitlines() if not line.startswith("#")]
    table.write_text("\n".join(" ".join([line[0], name, *line[2:]]) for line in lines))
    config = data_config(dataset="rgbd", data_dir=root, image_size=16)
    return lambda: open_dataset(config, "train", ("image", "depth"))


TABLES = (v1_table, v2_folder, v2_file, association_list)


@pytest.mark.parametrize("attack", TABLES)
@pytest.mark.parametrize("name", ["../outside/depth.npy", "/outside/depth.npy", "link/depth.npy"])
def test_a_table_names_no_file_outside_its_root(
    attack: Callable[[Path, str], Callable[[], object]], name: str, tmp_path: Path
) -> None:
    """Absolute paths and ``..`` in a table were followed: a shared dataset read, and named, its user's own files."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "root").mkdir()
    (tmp_path / "root/link").symlink_to(tmp_path / "outside")
    with pytest.raises(DataError, match=r"(csv|txt), line \d+: .*(root|below)"):
        attack(tmp_path / "root", name)()


def test_a_cell_that_only_names_its_row_is_no_exception(tmp_path: Path) -> None:
    """The depth map names a row of V1 also where it is not read; predictions are written under that name."""
    v1_table(tmp_path, "../outside/depth.npy")
    with pytest.raises(DataError, match=r"train\.csv, line 2: '\.\./outside/depth\.npy' leads out of its folder"):
        open_dataset(v1(tmp_path), "train", ("audio",))


def test_a_location_that_is_a_link_elsewhere_is_refused(tmp_path: Path) -> None:
    write_v2_root(tmp_path / "other", ("Attic",), rows=1)
    (tmp_path / "root").mkdir()
    (tmp_path / "root/Attic").symlink_to(tmp_path / "other/Attic")
    with pytest.raises(DataError, match="is a link to a place outside"):
        open_dataset(v2(tmp_path / "root"), "train")


def test_predictions_of_a_split_are_written_below_out_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``depth_...npy`` once gave the name ``Attic/..``; ``predict --split`` makes files out of names."""
    monkeypatch.chdir(tmp_path)
    root = write_v2(tmp_path / "rooms")
    save_tiny(tmp_path / "checkpoints/ears", root)
    config = PredictConfig((), "ears", split="val", data_dir=root, out=tmp_path / "a/b/out", save=("npy",))
    (root / "Attic/depth/depth_4.npy").rename(root / "Attic/depth/depth_...npy")
    rewritten(root / "Attic/val.csv", "depth_4.npy", "depth_...npy")
    before = {*tmp_path.rglob("*")}
    predict(config)
    written = {*tmp_path.rglob("*")} - before
    assert {path for path in written if path.suffix == ".npy"}
    assert all(path.is_relative_to(config.out) or config.out.is_relative_to(path) for path in written if config.out)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = write_v2_root(tmp_path_factory.mktemp("files"), ("Attic",), rows=1, splits=("train",))
    out = tmp_path_factory.mktemp("shards")
    return shard(shard_config(data_dir=root, out=out, splits=("train",), max_depth=10.0, workers=1))


def read(folder: Path) -> list[object]:
    config = data_config(dataset="batvisionv2", data_dir=folder, image_size=16, max_depth=10.0)
    return list(open_split(config, "train", ("depth",)))


def changed_index(folder: Path, **changes: object) -> None:
    index = json.loads((folder / INDEX).read_text())
    index["splits"]["train"]["shards"][0] |= changes
    index.pop("seal", None)
    (folder / INDEX).write_text(json.dumps(index, indent=1))


@pytest.mark.parametrize("name", [*LEADS_OUT, "a/b.tar", "x/../../.bashrc"])
def test_an_index_of_shards_names_files_beside_it_alone(name: str, shards: Path, tmp_path: Path) -> None:
    """A shard named ``x/../../.bashrc`` was fetched over that file of the user's, through ``--shard_cache``."""
    folder = Path(shutil.copytree(shards, tmp_path / "shards"))
    changed_index(folder, name=name)
    with pytest.raises(DataError, match=r"index\.json: "):
        read(folder)
    changed_index(folder, name="train-000000.tar", sha256="../../" + 58 * "a")  # it begins the name in the cache
    with pytest.raises(DataError, match=r"the hash of shard train-000000\.tar is no SHA-256"):
        read(folder)


@pytest.mark.parametrize("changes", [{"bytes": "9"}, {"samples": -1}, {"rooms": 3}, {"rooms": {"a": 1.5}}, {"more": 1}])
def test_an_index_of_shards_with_other_types_is_one_error(
    changes: dict[str, object], shards: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(shards, tmp_path / "shards"))
    changed_index(folder, **changes)
    with pytest.raises(DataError, match=r"index\.json is no index of shards"):
        read(folder)


def packed(folder: Path, change: Callable[[tarfile.TarInfo], None]) -> None:
    """Pack the shard again with other members; size and hash in the index fit."""
    path = folder / "train-000000.tar"
    with tarfile.open(path) as tar:
        members = [(member, file.read()) for member in tar if (file := tar.extractfile(member))]
    with tarfile.open(path, "w") as tar:
        for member, data in members:
            if "depth" in member.name:
                change(member)
            tar.addfile(member, io.BytesIO(data[: member.size]))
    data = path.read_bytes()
    changed_index(folder, bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


def as_link(member: tarfile.TarInfo) -> None:
    member.type, member.linkname, member.size = tarfile.SYMTYPE, "/etc/passwd", 0


def as_hard_link(member: tarfile.TarInfo) -> None:
    member.type, member.linkname, member.size = tarfile.LNKTYPE, "absent", 0


def as_pipe(member: tarfile.TarInfo) -> None:
    member.type, member.size = tarfile.FIFOTYPE, 0


def outside(member: tarfile.TarInfo) -> None:
    member.name = f"../{member.name}"


@pytest.mark.parametrize("change", [as_link, as_hard_link, as_pipe, outside])
def test_members_of_a_shard_are_plain_files_below_it(
    change: Callable[[tarfile.TarInfo], None], shards: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(shards, tmp_path / "shards"))
    packed(folder, lambda member: None)
    assert len(read(folder)) == 1
    packed(folder, change)
    with pytest.raises(DataError, match=r"train-000000\.tar"):
        read(folder)


@pytest.mark.parametrize("headers", [1, 2000])
def test_headers_of_a_member_have_a_limit(headers: int, shards: Path, tmp_path: Path) -> None:
    """An extended header of 200 MB took 2 GB before the member was seen, and a chain of them is a recursion."""
    folder = Path(shutil.copytree(shards, tmp_path / "shards"))
    path = folder / "train-000000.tar"
    header = tarfile.TarInfo("x")
    header.type, content = tarfile.XHDTYPE, b"13 comment=a\n" if headers > 1 else bytes(2**20 + 1)
    header.size = len(content)
    block = header.tobuf(tarfile.USTAR_FORMAT) + content + bytes(-len(content) % 512)
    path.write_bytes(headers * block + path.read_bytes())
    changed_index(folder, bytes=path.stat().st_size, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    with pytest.raises(DataError, match=r"train-000000\.tar is damaged .*(is no file has 1,048,577 bytes|recursion)"):
        read(folder)


def test_a_member_of_a_shard_has_a_limit(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "LARGEST_FILE", 1000)
    with pytest.raises(DataError, match=r"train-000000\.tar is damaged .*'00000000\.depth\.npy' is no file of at most"):
        read(shards)


def test_a_list_of_finished_shards_deletes_nothing_elsewhere(tmp_path: Path) -> None:
    """``shard`` deletes what its list has and the plan has not: a list from elsewhere must not choose what."""
    (tmp_path / "out").mkdir()
    line = {"name": "../precious", "split": "train", "stamp": "", "shard": None}
    lines = [json.dumps(seal(content)) for content in ({"dataset": "a"}, line)]
    (tmp_path / "out" / FILE).write_text("\n".join([*lines, ""]))
    with pytest.raises(EchodepthError, match=r"'\.\./precious' leads out of its folder"):
        Journal(tmp_path / "out", {"dataset": "a"})


@pytest.mark.parametrize("name", ["../outside", "/outside", "a/b"])
def test_an_index_of_arrays_names_files_beside_it_alone(name: str, tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    np.save(tmp_path / "outside.npy", np.zeros(1))
    with pytest.raises(DataError, match=r"store/index\.json: "):
        ArrayStore(tmp_path / "store", [name], ["row"])
