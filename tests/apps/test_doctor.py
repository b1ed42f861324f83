"""The doctor names every planted fault with its row, and reports none on healthy data."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from echodepth import cli
from echodepth.apps.doctor.config import DoctorConfig
from echodepth.apps.doctor.diagnosis import Diagnosis, as_text
from echodepth.apps.doctor.examine import FAULTS_FOUND, examine
from echodepth.apps.doctor.findings import ISSUES
from echodepth.core.errors import DataError
from echodepth.data.dataset_registry import recognise_dataset
from echodepth.simulate.config import SimulateConfig
from echodepth.simulate.writer import simulate
from tests import planted
from tests.roots import write_real_v2_root, write_rgbd_root, write_v1_root

FIRST, SECOND = "simulated_00", "simulated_01"


@pytest.fixture(scope="session")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two locations of ten rooms, 20 recordings each; read only."""
    config = SimulateConfig(
        tmp_path_factory.mktemp("doctor") / "set", rooms=20, poses=2, image_size=32, workers=1, seed=7
    )
    return simulate(config)


@pytest.fixture
def garden(healthy: Path, tmp_path: Path) -> planted.Garden:
    # Without digests, as a recorded set: with them, every fault is damage.
    return planted.Garden(shutil.copytree(healthy, tmp_path / "set", ignore=shutil.ignore_patterns("*SUMS")), FIRST)


def kinds(diagnosis: Diagnosis) -> set[str]:
    return {finding.kind for finding in diagnosis.faults}


def diagnose(root: Path) -> Diagnosis:
    return examine(DoctorConfig(root, workers=1))


def test_a_simulated_set_is_healthy(healthy: Path) -> None:
    diagnosis = diagnose(healthy)
    assert diagnosis.findings == []
    assert diagnosis.verdict == "No fault found."
    assert diagnosis.contents == "simulated, 40 rows (train 28, val 4, test 8) of 2 locations"


def test_the_genuine_frame_is_healthy(real_data: Path, tmp_path: Path) -> None:
    root = write_real_v2_root(tmp_path / "v2", real_data)
    for split in ("val", "test"):
        (root / "Attic" / f"{split}.csv").unlink()
    diagnosis = diagnose(root)
    assert diagnosis.faults == []
    assert {finding.kind for finding in diagnosis.findings} == {"no split"}


def test_the_genuine_frame_in_every_split_is_a_leak(real_data: Path, tmp_path: Path) -> None:
    faults = diagnose(write_real_v2_root(tmp_path / "v2", real_data)).faults
    assert [fault.kind for fault in faults] == ["leak"]
    assert "audio, depth, image of Attic/49, Attic/48, Attic/47 are identical" in faults[0].what


ROW_FAULTS: dict[str, Callable[[planted.Garden], str]] = {
    "missing": planted.missing,
    "corrupt": planted.cut_short,
    "clipping": planted.clipped,
    "silent ear": planted.silent_ear,
    "same ears": planted.one_microphone,
    "onset": planted.late,
    "depth unit": planted.metres,
    "constant depth": planted.constant_depth,
    "empty depth": planted.no_depth,
    "size": planted.cropped,
    "duplicate": planted.twice,
    "leak": planted.room_in_two_splits,
}


def test_twelve_faults_at_once_are_each_named_with_their_row(garden: planted.Garden) -> None:
    # The room that moves keeps its files: it is taken first, and its rows are passed over.
    moved = ROW_FAULTS["leak"](garden)
    garden.names = iter([name for name in garden.names if name.split("_")[0] != moved.split("_")[0]])
    spoilt = {"leak": moved} | {kind: plant(garden) for kind, plant in ROW_FAULTS.items() if kind != "leak"}
    diagnosis = diagnose(garden.root)
    assert kinds(diagnosis) == {*ROW_FAULTS}
    for kind, name in spoilt.items():
        (finding,) = diagnosis.by_kind()[kind]
        assert f"{FIRST}/{name}" in finding.rows, kind
    text = as_text(diagnosis)
    assert all(ISSUES[kind].remedy in text for kind in ROW_FAULTS)
    assert text.endswith("12 faults of 12 kinds found.\n")


@pytest.mark.parametrize(
    ("plant", "kind"),
    [
        (planted.swapped_ears, "swapped ears"),
        (planted.mirrored_pictures, "mirrored"),
        (planted.shifted_pictures, "shifted"),
    ],
)
def test_a_whole_locations_fault_is_named_with_the_location(
    garden: planted.Garden, plant: Callable[[planted.Garden, str], None], kind: str
) -> None:
    plant(garden, SECOND)
    (fault,) = diagnose(garden.root).faults
    assert (fault.kind, fault.where, len(fault.rows)) == (kind, SECOND, 20)
    if kind == "shifted":
        assert "+10 % of the width" in fault.what
        assert "+0 % of the height" in fault.what


def test_centimetres_are_suspected_where_half_of_a_room_is_nearer_than_rooms_are(garden: planted.Garden) -> None:
    """They are distances of a tenth, which no map alone can tell from a near wall: training went on without a word."""
    planted.centimetres(garden, SECOND)
    diagnosis = diagnose(garden.root)
    (finding,) = diagnosis.by_kind()["possible depth unit"]
    assert (finding.where, len(finding.rows), finding.severity) == (SECOND, 20, "note")
    assert re.search(r"half of the depth maps have a median below 0\.[1-4]\d m, over 20 rows", finding.what)
    assert diagnosis.faults == []


@pytest.mark.parametrize(
    ("plant", "message"),
    [(planted.other_rate, "was recorded at 48000 Hz, not 44100"), (planted.mono, "has 1 channel")],
)
def test_an_audio_format_is_distinguished_from_a_corrupt_file(
    garden: planted.Garden, plant: Callable[[planted.Garden], str], message: str
) -> None:
    plant(garden)
    (fault,) = diagnose(garden.root).faults
    assert fault.kind == "audio format"
    assert message in fault.what


def test_a_depth_format_is_distinguished_from_a_corrupt_file(garden: planted.Garden) -> None:
    colour, coarse, broken = (garden.file("depth", garden.next_row()) for _ in range(3))
    np.save(colour, np.zeros((32, 32, 3), dtype=np.uint16))
    np.save(coarse, np.full((32, 32), 200, dtype=np.uint8))
    broken.write_bytes(b"not an array")
    by_kind = diagnose(garden.root).by_kind()
    assert {kind: len(found) for kind, found in by_kind.items()} == {"depth format": 2, "corrupt": 1}


def test_a_list_that_cannot_be_read_is_a_fault_and_the_other_splits_are_examined(garden: planted.Garden) -> None:
    (garden.root / FIRST / "val.csv").write_text("some,other,columns\n1,2,3\n")
    diagnosis = diagnose(garden.root)
    assert kinds(diagnosis) == {"table"}
    assert diagnosis.contents.startswith("simulated, 36 rows (train 28, test 8)")


def test_a_file_that_differs_from_its_digest_is_a_fault(healthy: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(healthy, tmp_path / "set"))
    name = planted.clipped(planted.Garden(root, FIRST))
    damaged, clipped = diagnose(root).faults
    assert (damaged.kind, f"audio_{name}.wav" in damaged.what) == ("damaged", True)
    assert clipped.kind == "clipping"  # a damaged file is examined all the same


def test_a_location_in_two_splits_is_a_note_or_with_rooms_apart_a_fault(v2_root: Path) -> None:
    shared = [f for f in examine(DoctorConfig(v2_root, workers=1)).findings if f.kind == "shared location"]
    assert [finding.severity for finding in shared] == ["note", "note"]
    apart = examine(DoctorConfig(v2_root, workers=1, rooms_apart=True)).by_kind()["leak"]
    assert [finding.what for finding in apart] == [
        "Attic: 3 rows in train, 2 rows in val, 3 rows in test",
        "Cellar: 3 rows in train, 2 rows in val, 3 rows in test",
    ]


def test_each_dataset_is_recognised_by_its_lists(healthy: Path, v2_root: Path, tmp_path: Path) -> None:
    assert recognise_dataset(healthy) == "simulated"
    assert recognise_dataset(v2_root) == "batvisionv2"
    assert recognise_dataset(write_v1_root(tmp_path / "v1")) == "batvisionv1"
    assert recognise_dataset(write_rgbd_root(tmp_path / "rgbd")) == "rgbd"


def test_v1_and_rgbd_are_examined_as_far_as_they_go(tmp_path: Path) -> None:
    v1 = write_v1_root(tmp_path / "v1")
    np.save(v1 / "2019-04-01" / "left_0.npy", np.zeros(4410, dtype=np.int16))
    assert [fault.kind for fault in diagnose(v1).faults if fault.kind not in ("duplicate", "leak")] == ["silent ear"]
    rgbd = write_rgbd_root(tmp_path / "rgbd", frames=40)
    (rgbd / "depth" / "003.png").write_bytes(b"")
    (fault,) = diagnose(rgbd).faults
    assert (fault.kind, "003.png" in fault.what) == ("corrupt", True)


def test_nothing_to_examine_is_a_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not a folder"):
        diagnose(tmp_path / "nowhere")
    with pytest.raises(
        DataError, match=r"no known dataset \(batvisionv1: ROOT/train\.csv .*: choose one with --dataset"
    ):
        diagnose(tmp_path)


def test_exit_status_json_and_page(
    garden: planted.Garden, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    cli.main(["doctor", "set", "--workers", "1"])
    assert "No fault found." in capsys.readouterr().out
    name = planted.clipped(garden)
    with pytest.raises(SystemExit) as stop:
        cli.main(["doctor", "set", "--workers", "1", "--json"])
    assert stop.value.code == FAULTS_FOUND == 1
    report = json.loads(capsys.readouterr().out)
    assert report == json.loads(Path("results/doctor/set/doctor.json").read_text())
    assert report["clean"] is False
    assert [finding["kind"] for finding in report["findings"]] == ["clipping"]
    page = Path("results/doctor/set/doctor.html").read_text()
    assert f"{FIRST}/{name}" in page
    assert ISSUES["clipping"].title in page
    assert page.count("<svg") == 6
    assert page.count("<rect") > 6
    assert ISSUES["clipping"].remedy in page
    with pytest.raises(SystemExit) as stop:
        cli.main(["doctor", "nowhere"])
    assert stop.value.code == cli.USER_ERROR


def test_a_wav_written_as_a_stream_is_not_taken_for_cut_short(v2_root: Path, tmp_path: Path) -> None:
    root = shutil.copytree(v2_root, tmp_path / "v2")
    path = next(root.rglob("*.wav"))
    sound, rate = soundfile.read(path)
    soundfile.write(path, sound, rate, subtype="PCM_32")
    raw = bytearray(path.read_bytes())
    raw[4:8] = b"\xff\xff\xff\xff"
    path.write_bytes(raw)
    assert not [finding for finding in diagnose(root).findings if finding.kind == "corrupt"]
