"""``echodepth record``: numbers, table, and a kill between the two files of a recording."""

import csv
from pathlib import Path

import pytest

from echodepth import cli
from echodepth.apps.live.capture import Capture
from echodepth.apps.live.config import RecordConfig
from echodepth.apps.live.record import record
from echodepth.core.constants import V2_ONSET
from echodepth.data.audio import find_onset, read_wav


def test_recordings_continue_their_numbers_and_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["record", "--card", "simulated", "--location", "Kitchen", "--count", "2", "--interval", "0"]
    cli.main(words)
    cli.main(words)
    room = Path("recordings/Kitchen")
    assert sorted(path.name for path in (room / "audio").iterdir()) == [f"audio_{n}.wav" for n in range(4)]
    for path in (room / "audio").iterdir():
        audio, rate = read_wav(path)
        assert (audio.shape, rate) == ((2, 20000), 44100)
        assert find_onset(audio) == pytest.approx(V2_ONSET, abs=8)
    with (room / "recordings.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["index"] for row in rows] == ["0", "1", "2", "3"]
    assert float(rows[0]["latency ms"]) == pytest.approx(100, abs=0.3)
    with pytest.raises(SystemExit) as stop:
        cli.main(["record", "--card", "simulated", "--location", "a/b"])
    assert stop.value.code == cli.USER_ERROR


def test_a_kill_between_row_and_recording_leaves_no_recording_without_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The recording came first, so that a kill left one that the table did not list; ``--pair time`` refused it."""
    monkeypatch.chdir(tmp_path)
    words = ["record", "--card", "simulated", "--location", "Kitchen", "--count", "1", "--interval", "0"]
    cli.main(words)
    with monkeypatch.context() as patch:
        patch.delattr(Capture, "save")
        with pytest.raises(AttributeError, match="save"):
            record(RecordConfig(card="simulated", location="Kitchen", count=1))

    def rows() -> list[str]:
        with Path("recordings/Kitchen/recordings.csv").open() as file:
            return [row["index"] for row in csv.DictReader(file)]

    assert rows() == ["0", "1"]
    assert [path.name for path in Path("recordings/Kitchen/audio").iterdir()] == ["audio_0.wav"]
    cli.main(words)
    assert rows() == ["0", "1"], "a row for each recording, and once"
    assert len(list(Path("recordings/Kitchen/audio").iterdir())) == 2
