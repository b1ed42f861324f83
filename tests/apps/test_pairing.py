"""Pairing of a room's files: each recording with the files of its own name, whatever characters it has."""

from pathlib import Path

import pytest

from echodepth.apps.convert.config import ConvertConfig
from echodepth.apps.convert.convert import _keep_provenance
from echodepth.apps.convert.pairing import FileTriple, _find_files, _Times, match_files
from echodepth.core.errors import DataError

NAMES = ("007", "a [2]", "take", "take.2", "what?")


@pytest.fixture
def hall(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with brackets, with files of all ``NAMES`` and one that macOS left."""
    monkeypatch.chdir(tmp_path)
    for kind, suffix in (("sound", "wav"), ("rgb", "png"), ("range", "npy")):
        folder = Path("hall [1]") / kind
        folder.mkdir(parents=True)
        for name in (*NAMES, "._take"):
            (folder / f"{name}.{suffix}").touch()
    return Path("hall [1]")


def test_names_with_brackets_dots_and_question_marks_are_found_and_paired(hall: Path) -> None:
    config = ConvertConfig(
        out=Path("out"),
        location="x",
        audio=f"{hall}/sound/*.wav",
        camera=f"{hall}/rgb/*",
        depth=f"{hall.absolute()}/range/*.npy",
    )
    triples, unmatched = match_files(config)
    assert unmatched == 0
    assert [{each.audio.stem, each.camera.stem, each.depth.stem} for each in triples] == [{name} for name in NAMES]


@pytest.mark.parametrize("pattern", ["{}/sound/a [2].wav", "{}/sound/a [[]2]*", "{}/sound/a [2]*", "hall [[]1]/**/a*"])
def test_a_name_is_taken_as_it_stands_before_it_is_a_pattern(hall: Path, pattern: str) -> None:
    assert hall / "sound/a [2].wav" in _find_files("audio", pattern.format(hall))


def test_brackets_are_a_pattern_where_that_finds_files(hall: Path) -> None:
    assert [path.stem for path in _find_files("audio", f"{hall}/sound/[t]ake*")] == ["take", "take.2"]
    for pattern in ("**.wav", f"{hall}/sound/[b]*", f"{hall}/s*/b*"):
        with pytest.raises(DataError, match="finds no file: quote the pattern"):
            _find_files("audio", pattern)


@pytest.mark.parametrize("pattern", ["nowhere/*.wav", "nowhere/*/[a]*.wav", "nowhere/a.wav"])
def test_a_folder_that_does_not_exist_is_named(pattern: str) -> None:
    """Quoted patterns met the advice to quote them."""
    with pytest.raises(DataError, match=r"finds no file: there is no folder nowhere$"):
        _find_files("audio", pattern)


def test_a_tilde_in_quotes_is_the_home_folder(hall: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No shell replaces it there, and the pattern found nothing."""
    monkeypatch.setenv("HOME", str(Path.cwd()))
    assert len(_find_files("audio", "~/hall [1]/sound/*.wav")) == len(NAMES)
    assert _find_files("audio", "~/hall [1]/sound/take.wav") == [hall.absolute() / "sound/take.wav"]


def test_a_table_of_times_tells_files_of_one_name_apart_by_their_folders(tmp_path: Path) -> None:
    """Both sessions count from 0; by name alone the second one's times replaced those of the first."""
    files = [tmp_path / "monday/0.wav", tmp_path / "tuesday/0.wav"]
    table = tmp_path / "times.csv"
    table.write_text("file,time\nmonday/0.wav,5.0\ntuesday/0.wav,2.0\n")
    assert _Times(table).sorted(files) == [(2.0, files[1]), (5.0, files[0])]
    table.write_text("file,time\n0.wav,5.0\n")
    with pytest.raises(DataError, match=r"--times lists 0\.wav, which is the name of .*monday/0\.wav and of .*tuesday"):
        _Times(table).sorted(files)
    table.write_text("file,time\n0.wav,5.0\n0.wav,2.0\n")
    with pytest.raises(DataError, match=r"times\.csv lists 0\.wav with two times, 5 and 2 s"):
        _Times(table)


def test_a_converted_copy_of_simulated_rooms_stays_simulated(tmp_path: Path) -> None:
    (tmp_path / "rooms/hall/audio").mkdir(parents=True)
    (tmp_path / "rooms/simulation.json").write_text("{}")
    (tmp_path / "own").mkdir()
    for name, expected in (("elsewhere/0", False), ("rooms/hall/audio/0", True)):
        file = tmp_path / name
        _keep_provenance(tmp_path / "own", [FileTriple(file, file, file)])
        assert (tmp_path / "own/simulation.json").is_file() == expected
