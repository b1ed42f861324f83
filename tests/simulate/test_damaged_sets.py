"""Damage to simulated sets: refused by name with the command that mends it, which mends it alone."""

import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from echodepth import cli
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


def read(root: Path) -> None:
    for split in SPLITS:
        list_split(DataConfig("simulated", root, 16), split, ALL_MODALITIES)


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
    """The first line names the settings, and only the simulator reads it and the line of the card."""
    with restored(simulated / SUMS) as data:
        card_end = data.index(b"\n", data.index(b"simulation.json"))
        card = range(data.rindex(b"\n", 0, card_end), card_end + 1)
        first = data.index(b"\n")
        for kind, spoilt in damaged(data, 60):
            if kind.startswith("bit") and (at := int(kind.split()[1]) // 8) > first and at not in card:
                (simulated / SUMS).write_bytes(spoilt)
                assert SUMS in refusal(lambda: read(simulated)), kind


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
    read(copy)
