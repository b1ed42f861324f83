"""Damage to simulated sets: refused by name with the command that mends it, which mends it alone."""

import shlex
import shutil
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from echodepth import cli
from echodepth.apps.doctor.config import DoctorConfig
from echodepth.apps.doctor.examine import examine
from echodepth.core.errors import ConfigError
from echodepth.core.integrity import SUMS, read_sums
from echodepth.data.config import DataConfig
from echodepth.data.dataset import list_split
from echodepth.data.records import ALL_MODALITIES, SPLITS
from echodepth.simulate.config import SimulateConfig
from echodepth.simulate.writer import simulate
from tests.damage import BROKEN, damaged, flip, refusal, restored


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of three recordings; tests restore what they damage."""
    return simulate(
        SimulateConfig(tmp_path_factory.mktemp("simulated") / "a set", rooms=3, poses=1, image_size=16, workers=1)
    )


def contents(root: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def read(root: Path) -> dict[str, list[str]]:
    """Names of the recordings of each split."""
    config = DataConfig("simulated", root, 16)
    return {split: [record.name for record in list_split(config, split, ALL_MODALITIES)[0]] for split in SPLITS}


def test_all_that_training_reads_has_a_digest(simulated: Path) -> None:
    digests = read_sums(simulated)
    assert digests is not None
    files = {str(path.relative_to(simulated)) for path in contents(simulated)}
    assert {*digests} == files - {SUMS, "contact_sheet.png"}
    assert len(digests) == 3 * 3 + 3 + 1


def test_damaged_files_are_refused(simulated: Path) -> None:
    """A recording of zeros is silence, which is no error to a reader of WAV files."""
    for path in contents(simulated):
        if path.name in (SUMS, "contact_sheet.png"):
            continue
        with restored(path) as data:
            for kind, spoilt in damaged(data, 5):
                path.write_bytes(spoilt)
                message = refusal(lambda: read(simulated))
                assert message.startswith(f"{path} is damaged or changed, by the sha256 in {SUMS}: make it "), kind
    read(simulated)


def test_no_bit_of_the_list_of_digests_lets_anything_in(simulated: Path) -> None:
    """The first line names the settings, and only the simulator reads it."""
    with restored(simulated / SUMS) as data:
        first = data.index(b"\n")
        end = data.index(b"\n", data.index(b"simulation.json"))
        card = {f"bit {bit}": flip(data, bit) for bit in range(8 * data.rindex(b"\n", 0, end), 8 * end + 8, 13)}
        for kind, spoilt in [*damaged(data, 60), *card.items()]:
            if kind.startswith("bit") and int(kind.split()[1]) // 8 > first:
                (simulated / SUMS).write_bytes(spoilt)
                assert SUMS in refusal(lambda: read(simulated)), kind


def test_the_line_of_the_card_may_not_be_lost(simulated: Path) -> None:
    """The card says that the data are simulated: without its digest, a changed one was read."""
    with restored(simulated / SUMS) as data:
        lines = [line for line in data.splitlines(keepends=True) if b"simulation.json" not in line]
        (simulated / SUMS).write_bytes(b"".join(lines))
        assert refusal(lambda: read(simulated)).startswith(f"{simulated / 'simulation.json'} is damaged or changed")


def test_the_doctor_lists_every_damaged_file(simulated: Path) -> None:
    """It named one file of a split, and left the split out."""
    config = DoctorConfig(simulated, workers=1)
    assert not [finding for finding in examine(config).findings if finding.kind == "damaged"]
    train = {path.name: path for path in contents(simulated) if path.parent.parent.name == "simulated_00"}
    spoilt = [train["audio_0000_000.wav"], train["depth_0000_000.npy"], train["camera_0001_000.jpeg"]]
    spoilt += [simulated / "simulated_00/test.csv", simulated / "simulation.json"]
    with ExitStack() as stack:
        for path in spoilt:
            data = stack.enter_context(restored(path))
            path.write_bytes(data + b"\n" if path.suffix in (".csv", ".json") else flip(data, 8 * len(data) - 1))
        diagnosis = examine(config)
    found = {each.what.split(" ")[0]: each.where for each in diagnosis.findings if each.kind == "damaged"}
    assert {*found} == {path.relative_to(simulated).as_posix() for path in spoilt}
    assert found["simulated_00/audio/audio_0000_000.wav"].endswith(".csv, line 2")
    assert len(diagnosis.rows) == 3


def test_the_command_in_the_message_mends_the_damage_alone(simulated: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole = contents(simulated)
    kinds = {path.suffix: path for path in whole if path.parent.name in ("audio", "camera", "depth")}
    for path in kinds.values():
        times = {each: each.stat().st_mtime_ns for each in kinds.values() if each != path}
        path.write_bytes(BROKEN["zeros behind the header"](whole[path]))
        command = shlex.split(refusal(lambda: read(simulated)).split("`")[1])
        caplog.clear()
        cli.main([*command[1:], "--workers", "1"])
        assert contents(simulated) == whole
        assert {each: each.stat().st_mtime_ns for each in times} == times
        assert f"damaged and simulated again: {path.relative_to(simulated)}\n" in caplog.text
    caplog.clear()
    cli.main([*command[1:], "--workers", "1"])
    assert "damaged" not in caplog.text


def test_a_damaged_list_or_card_is_mended(simulated: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = SimulateConfig(simulated, rooms=3, poses=1, image_size=16, workers=1)
    whole = contents(simulated)
    for name, spoilt in (
        ("simulation.json", b"{"),
        ("simulation.json", flip(whole[simulated / "simulation.json"], 8 * 200)),
        (SUMS, whole[simulated / SUMS][:500]),
        (SUMS, flip(whole[simulated / SUMS], 8 * 200)),
        (SUMS, b""),
        ("simulated_00/test.csv", b""),
    ):
        (simulated / name).write_bytes(spoilt)
        simulate(config)
        assert contents(simulated) == whole, name
    (simulated / "simulation.json").write_bytes(b"{")
    with pytest.raises(ConfigError, match=r"simulation\.json is damaged, and these settings are not those"):
        simulate(replace(config, seed=1))
    simulate(config)
    assert contents(simulated) == whole


def test_what_a_crash_left_unlisted_is_simulated_again(simulated: Path, tmp_path: Path) -> None:
    """A file may have been renamed into its place while its contents had not reached the disk."""
    copy = Path(shutil.copytree(simulated, tmp_path / "set"))
    whole = contents(copy)
    lines = (copy / SUMS).read_text().splitlines(keepends=True)
    (copy / SUMS).write_text("".join(line for line in lines if "_0001_" not in line and ".csv" not in line))
    (sound,) = copy.rglob("audio_0001_000.wav")
    sound.write_bytes(bytes(len(whole[sound])))
    simulate(SimulateConfig(copy, rooms=3, poses=1, image_size=16, workers=1))
    assert contents(copy) == whole


def test_a_set_without_a_list_is_read_as_before(simulated: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(simulated, tmp_path / "set"))
    (copy / SUMS).unlink()
    assert read(copy) == read(simulated)
    assert [len(names) for names in read(copy).values()] == [1, 1, 1]
    (sound,) = copy.rglob("audio_0001_000.wav")
    sound.write_bytes(flip(sound.read_bytes(), 8 * 5000))
    assert read(copy) == read(simulated), "nothing is known to compare it with"
