"""Hints name flags that the command has, or say whose they are."""

import pytest

from echodepth import cli
from echodepth.apps.flag_owners import explain_flags
from echodepth.core.errors import DataError

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


@pytest.mark.parametrize(
    ("words", "added"),
    [
        (
            "export --precision int8",
            " (--skip_bad is a flag of echodepth train, shard, prepare, cache-teacher, evaluate and compare)",
        ),
        ("-v predict --split test --checkpoint compare", " (--skip_bad is a flag of echodepth train, shard, "),
        ("compare ears", "\n"),
    ],
)
def test_a_command_does_not_call_a_flag_its_own_that_it_lacks(
    words: str, added: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """``export --precision int8`` on an incomplete dataset advised --skip_bad, which only others have."""

    def fail(config: object) -> None:
        raise DataError("test.csv, line 2: no audio: leave such rows out with --skip_bad")

    for address in ("inference.export.export", "inference.predict.predict", "evaluation.compare.compare"):
        monkeypatch.setattr(f"echodepth.{address}", fail)
    with pytest.raises(SystemExit):
        cli.main(words.split())
    assert f"leave such rows out with --skip_bad{added}" in capsys.readouterr().err
