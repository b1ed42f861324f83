"""Digests: where they stand, that every other byte is noticed, and what is not read twice."""

import hashlib
import json
import os
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from echodepth.core import integrity
from echodepth.core.integrity import (
    DamageError,
    append_sums,
    check_file,
    file_digest,
    find_damaged,
    read_comment,
    read_sums,
    seal,
    seal_file,
    unseal,
    write_sums,
)
from tests.damage import damaged, flip

ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
"""SHA-256 of "abc", from FIPS 180-4."""


def test_a_digest_is_sha256_and_a_missing_file_has_none(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert file_digest(tmp_path / "a") == ABC
    assert file_digest(tmp_path / "b") is None


def test_a_record_survives_json_and_no_change_of_it(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    record = {"format": 2, "sizes": (1, 2), "scale": 0.1, "rooms": {"b": None, "a": True}}
    text = json.dumps(seal(record, tmp_path, ["a"]), indent=2)
    plain = json.loads(json.dumps(record))
    assert unseal(json.loads(text)) == (plain, {"a": ABC})
    assert unseal(plain) == (plain, None)  # of another program
    assert unseal(json.loads(json.dumps(json.loads(text), sort_keys=True))) == (plain, {"a": ABC})
    for bit in range(8 * len(text)):
        try:
            changed = json.loads(flip(text.encode(), bit))
        except ValueError:
            continue
        with pytest.raises(DamageError):
            unseal(changed)


@pytest.mark.parametrize("record", [[], 3, None, {"seal": 3}, {"seal": {}}, {"seal": {"files": [], "sha256": ""}}])
def test_what_is_no_sealed_record_is_damaged(record: Any) -> None:
    with pytest.raises(DamageError):
        unseal(record)


def exported(folder: Path, kind: str) -> tuple[Path, list[Path]]:
    """A file of each kind, and its companions."""
    path, companion = folder / f"model{kind}", folder / "model.bin"
    companion.write_bytes(os.urandom(500))
    if kind in (".pth", ".pt2"):
        torch.save({"a": torch.arange(100.0), "b": "text"}, path)
    else:
        path.write_bytes(b"<net>" + os.urandom(500) + b"</net>")
    return path, [companion] if kind == ".xml" else []


@pytest.mark.parametrize("kind", [".pth", ".pt2", ".onnx", ".xml"])
def test_no_bit_of_a_sealed_file_can_change(kind: str, tmp_path: Path) -> None:
    path, companions = exported(tmp_path, kind)
    assert not check_file(path, *companions)
    seal_file(path, *companions)
    assert check_file(path, *companions)
    for each in (path, *companions):
        whole = each.read_bytes()
        for name, spoilt in damaged(whole, 300):
            each.write_bytes(spoilt)
            try:
                accepted = check_file(path, *companions)
            except DamageError:
                continue
            # A file of another format has no digest; what reads it refuses it.
            assert not accepted, (each.name, name)
            assert path.suffix in (".onnx", ".xml") or spoilt[:2] != b"PK", (each.name, name)
        each.write_bytes(whole)


def test_the_digest_in_a_file_is_that_of_its_other_bytes_and_of_its_companions(tmp_path: Path) -> None:
    path, companion = tmp_path / "model.xml", tmp_path / "model.bin"
    path.write_bytes(b"<net></net>")
    companion.write_bytes(b"abc")
    seal_file(path, companion)
    digest = hashlib.sha256(f"<net></net><!-- sha256  -->\n{ABC}".encode()).hexdigest()
    assert path.read_text() == f"<net></net><!-- sha256 {digest} -->\n"


def test_a_file_of_weights_has_8_gb_at_most(tmp_path: Path) -> None:
    (tmp_path / "a.xml").touch()
    for size in (2**33, 2**33 + 1):  # none of it is on the disk
        os.truncate(tmp_path / "a.xml", size)
        if size == 2**33:
            assert not check_file(tmp_path / "a.xml")
    with pytest.raises(DamageError, match="it has more than 8 GB"):
        check_file(tmp_path / "a.xml")


def test_an_archive_with_compressed_parts_is_refused(tmp_path: Path) -> None:
    """A few kB of it may be gigabytes of zeros; torch stores its parts as they are."""
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        with zipfile.ZipFile(tmp_path / "a.pth", "w", method) as archive:
            archive.writestr("a", bytes(100))
        if method == zipfile.ZIP_STORED:
            assert not check_file(tmp_path / "a.pth")
    with pytest.raises(DamageError, match="parts that are compressed"):
        check_file(tmp_path / "a.pth")


def test_a_machine_that_lacks_memory_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lacking(archive: zipfile.ZipFile) -> None:
        raise MemoryError

    with zipfile.ZipFile(tmp_path / "a.pth", "w") as archive:
        archive.writestr("a", bytes(100))
    monkeypatch.setattr(zipfile.ZipFile, "testzip", lacking)
    with pytest.raises(MemoryError):
        check_file(tmp_path / "a.pth")


def test_a_sealed_checkpoint_is_an_archive_as_before(tmp_path: Path) -> None:
    path, _ = exported(tmp_path, ".pth")
    seal_file(path)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.comment == path.read_bytes()[-71:]  # "sha256 " and 64 digits
    for mmap in (False, True):
        loaded = torch.load(path, weights_only=True, mmap=mmap)
        assert torch.equal(loaded["a"], torch.arange(100.0))
    with pytest.raises(ValueError, match="no archive without a comment"):
        seal_file(path)


def test_a_checkpoint_of_another_program_is_compared_with_the_checksums_of_its_archive(tmp_path: Path) -> None:
    """In all but the parts of an archive that nothing reads, such as times."""
    path, accepted = tmp_path / "other.pth", 0
    original = {"a": torch.arange(5000.0), "b": "text"}
    torch.save(original, path)
    whole = path.read_bytes()
    for _, spoilt in damaged(whole, 300):
        path.write_bytes(spoilt)
        try:
            check_file(path)
            loaded = torch.load(path, weights_only=True)
        except Exception:
            continue
        accepted += 1
        assert torch.equal(loaded["a"], torch.as_tensor(original["a"]))
        assert loaded["b"] == original["b"]
    assert accepted < 50


def test_files_are_read_once_and_again_when_anything_about_them_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ECHODEPTH_CACHE", str(tmp_path / "cache"))
    read: list[str] = []

    def noted(path: Path) -> str | None:
        read.append(path.name)
        return file_digest(path)

    monkeypatch.setattr(integrity, "file_digest", noted)
    folder, digests = tmp_path / "set", {"a": ABC, "b/c": ABC, "missing": ABC}
    (folder / "b").mkdir(parents=True)
    for name in ("a", "b/c"):
        (folder / name).write_bytes(b"abc")
    # A file may change twice within one tick of the file system's clock: a young one is not remembered.
    assert find_damaged(folder, digests) == find_damaged(folder, digests) == ["missing"]
    assert read == ["a", "c", "a", "c"]
    monkeypatch.setattr(integrity, "_SETTLED", -1.0)
    for verify, expected in ((False, ["a", "c"]), (False, []), (True, ["a", "c"]), (False, [])):
        read.clear()
        assert find_damaged(folder, digests, verify) == ["missing"]
        assert read == expected
    before = (folder / "a").stat()
    (folder / "a").write_bytes(b"abd")
    os.utime(folder / "a", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert find_damaged(folder, digests) == ["a", "missing"]  # by the time of the change, which nobody can set
    (folder / "a").write_bytes(b"abc")
    assert find_damaged(folder, digests) == ["missing"]
    assert find_damaged(folder, digests | {"a": 64 * "0"}) == ["a", "missing"]
    moved = Path(shutil.copytree(folder, tmp_path / "copy"))
    (moved / "a").write_bytes(b"abd")
    assert find_damaged(moved, digests) == ["a", "missing"]


@pytest.mark.parametrize("content", ["", "[", "3", '{"a": 3}', 10_000 * "["])
def test_a_damaged_memory_is_no_memory(content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECHODEPTH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(integrity, "_SETTLED", -1.0)
    (tmp_path / "a").write_bytes(b"abc")
    find_damaged(tmp_path, {"a": ABC})
    (memory,) = (tmp_path / "cache/verified").iterdir()
    memory.write_text(content)
    assert find_damaged(tmp_path, {"a": ABC}) == []
    (tmp_path / "a").write_bytes(b"abd")
    assert find_damaged(tmp_path, {"a": ABC}) == ["a"]


def test_a_cache_that_cannot_be_written_costs_time_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("ECHODEPTH_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr(integrity, "_SETTLED", -1.0)
    (tmp_path / "a").write_bytes(b"abc")
    assert find_damaged(tmp_path, {"a": ABC}) == []


def test_the_list_of_a_dataset_is_that_of_sha256sum(tmp_path: Path) -> None:
    (tmp_path / "a b").write_bytes(b"abc")
    assert read_sums(tmp_path) is None
    assert read_comment(tmp_path) is None
    write_sums(tmp_path, {"a b": 64 * "0"}, "settings 1")
    append_sums(tmp_path, {"a b": ABC})  # the later line counts
    assert (read_sums(tmp_path), read_comment(tmp_path)) == ({"a b": ABC}, "settings 1")
    write_sums(tmp_path, {"a b": ABC}, "settings 1")
    (tmp_path / "SHA256SUMS").open("a").write("half a li")
    assert read_sums(tmp_path) == {"a b": ABC}
    write_sums(tmp_path, {"a b": ABC}, "settings 1")
    if (program := shutil.which("sha256sum")) is not None:
        subprocess.run([program, "--check", "--strict", "SHA256SUMS"], cwd=tmp_path, check=True, capture_output=True)
