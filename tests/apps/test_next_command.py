"""The last line of a command: the next one, which parses and uses names that exist."""

import logging
import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from echodepth import cli
from echodepth.apps.doctor.config import DoctorConfig
from echodepth.apps.next_command import next_command
from echodepth.core.flags import flat
from echodepth.training.compose import train_config

ROOMS = {"dataset": "simulated", "data_dir": "my rooms"}


def follow(command: str, words: str, result: object = None) -> str | None:
    run, config = cli.parse([*command.split(), *shlex.split(words)])
    assert callable(run)
    line = next_command(command, config, result)
    if line is not None:
        cli.parse(shlex.split(line)[1:])
    return line


@pytest.mark.parametrize(
    ("command", "words", "following"),
    [
        ("simulate", "--out 'my rooms'", "train binaural --dataset simulated --data_dir 'my rooms'"),
        ("calibrate", "recordings --out rig.json", "simulate --rig rig.json --out data/own_rig"),
        (
            *("record", "--location Hall"),
            "convert --out data/own --location Hall --audio 'recordings/Hall/audio/*.wav' --camera 'CAMERA/*.png' "
            "--depth 'DEPTH/*.npy'",
        ),
        ("convert", "--out own --location A --audio 'a*' --depth 'd*' --camera 'c*'", "doctor own"),
        ("shard", "--out packed --data_dir own", "train binaural --dataset batvisionv2 --data_dir packed"),
        ("prepare", "--dataset rgbd --data_dir own", "train rgb --dataset rgbd --data_dir own"),
        (
            *("cache-teacher", "--teacher eyes --data_dir own --image_size 64"),
            "train distill --teacher eyes --dataset batvisionv2 --data_dir own --image_size 64",
        ),
        ("evaluate", "--checkpoint ears --data_dir own", "predict --split test --checkpoint ears --data_dir own"),
        ("evaluate", "--checkpoint ears --data_dir s3://a/b", None),
        ("predict", "a.wav --checkpoint ears", "demo --checkpoint ears"),
        ("predict", "a.wav", "demo"),
        ("listen", "--count 1", None),
    ],
)
def test_a_command_names_the_next_one(command: str, words: str, following: str | None) -> None:
    assert follow(command, words) == (None if following is None else f"echodepth {following}")


@pytest.mark.parametrize(
    ("kind", "flags", "following"),
    [
        ("rgb", ROOMS, "train distill --teacher mine --dataset simulated --data_dir 'my rooms'"),
        ("rgb", {"dataset": "rgbd"}, "evaluate --checkpoint mine"),
        ("binaural", ROOMS, "evaluate --checkpoint mine"),
        ("binaural", {"data_dir": "s3://a/b"}, "evaluate --checkpoint mine --data_dir s3://a/b"),
        ("distill", {"teacher": "eyes"}, "compare eyes mine"),
        ("distill", {"teacher": "hf:a/b"}, "evaluate --checkpoint mine"),
    ],
)
def test_a_training_names_its_own_experiment(kind: str, flags: dict[str, Any], following: str) -> None:
    config = train_config(kind, experiment_name="mine", **flags)
    assert next_command(f"train {kind}", config, None) == f"echodepth {following}"
    _, parsed = cli.parse(shlex.split(following))
    if kind == "rgb" and flags == ROOMS:
        assert flat(parsed)["data_dir"] == Path("my rooms")


def test_results_decide_where_they_matter() -> None:
    assert follow("export", "--format onnx", Path("x/ears.onnx")) == (
        "echodepth predict --examples --checkpoint x/ears.onnx"
    )
    assert str(follow("export", "--format pt2", Path("x/ears.pt2"))).endswith("ears.pt2 --trust_code")
    found = SimpleNamespace(dataset="rgbd")
    assert next_command("doctor", DoctorConfig("own"), found) == (  # type: ignore[arg-type]
        "echodepth train rgb --dataset rgbd --data_dir own"
    )
    assert next_command("doctor", DoctorConfig(Path("own")), None) is None


def test_the_line_comes_last_once_and_not_with_quiet(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("echodepth.inference.predict.predict", lambda config: [])
    for level, rank, lines in ("-v", "0", 1), ("-q", "0", 0), ("-v", "1", 0):
        caplog.clear()
        monkeypatch.setenv("LOCAL_RANK", rank)
        cli.main([level, "predict", "a.wav"])
        assert [record.message for record in caplog.records] == ["next: echodepth demo"] * lines
    logging.getLogger("echodepth").setLevel(logging.NOTSET)


def test_after_a_comparison_the_better_audio_model_is_exported() -> None:
    found = SimpleNamespace(leader_as_given="copies/ears two")
    assert follow("compare", "ears 'copies/ears two'", found) == "echodepth export --checkpoint 'copies/ears two'"


def test_the_next_command_loads_the_same_plugins() -> None:
    """Without them it would know neither the network nor the loss of the run that it follows."""
    config = train_config("binaural", experiment_name="mine")
    line = next_command("train binaural", config, None, ["my_network", "lab.my_loss"])
    assert line == "echodepth --plugin my_network --plugin lab.my_loss evaluate --checkpoint mine"
