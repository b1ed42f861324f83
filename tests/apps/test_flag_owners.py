"""Hints name flags that the command has, or say whose they are."""

from pathlib import Path

import pytest

from echodepth import cli
from echodepth.apps.flag_owners import explain_flags
from tests.tiny import save_tiny

FLAGS = {
    "train rgb": {"skip_bad", "data_dir", "lr"},
    "train binaural": {"skip_bad", "data_dir"},
    "evaluate": {"skip_bad", "data_dir"},
    "predict": {"data_dir"},
    "export": {"format"},
}


@pytest.mark.parametrize(
    ("message", "added"),
    [
        ("use --skip_bad", " (--skip_bad is a flag of echodepth train and evaluate)"),
        ("use --skip-bad or --data_dir", " (--skip-bad is a flag of echodepth train and evaluate)"),
        ("use --lr, --lr", " (--lr is a flag of echodepth train rgb)"),
        (
            "use --lr or --format or --skip_bad",
            " (--lr is a flag of echodepth train rgb) (--format is a flag of echodepth export)"
            " (--skip_bad is a flag of echodepth train and evaluate)",
        ),
        ("--data_dir, --unknown, a--skip_bad", ""),
        ("make it with echodepth export --format onnx, or `echodepth train rgb --lr 1`", ""),
    ],
)
def test_a_flag_of_another_command_is_said_to_be_its(message: str, added: str) -> None:
    assert explain_flags(message, "predict", FLAGS) == message + added
    assert explain_flags(message, "none", {}) == message


def test_prediction_of_a_split_names_no_flag_as_its_own_that_it_lacks(
    tmp_path: Path, v2_root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """``predict --split`` of an incomplete dataset advised --skip_bad, which only training and scoring have."""
    monkeypatch.chdir(tmp_path)
    save_tiny(Path("checkpoints/ears"), v2_root)
    incomplete = Path("incomplete")
    for path in v2_root.rglob("*.csv"):
        copy = incomplete / path.relative_to(v2_root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(path.read_text())
    with pytest.raises(SystemExit):
        cli.main(["predict", "--split", "test", "--checkpoint", "ears", "--data_dir", "incomplete", "--device", "cpu"])
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(
        "with --skip_bad (--skip_bad is a flag of echodepth train, shard, prepare, cache-teacher, evaluate and compare)"
    )
