"""A model is data: what its record says makes nothing read, fetched or written that the user did not name."""

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from echodepth import cli
from echodepth.apps.demo.config import DemoConfig
from echodepth.apps.demo.examples import find_examples
from echodepth.core.errors import CheckpointError, ConfigError
from echodepth.core.run_paths import experiment_name
from echodepth.data.recorded import data_to_read, trained_data
from echodepth.inference.predictor import Predictor
from echodepth.models.checkpoint import load_depth_model
from echodepth.models.run_record import RunRecord
from tests.tiny import save_tiny


@pytest.fixture
def model(tmp_path: Path, v2_root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model folder from elsewhere, in an empty working directory."""
    save_tiny(tmp_path / "colleague", v2_root)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "colleague/best"


def change(folder: Path, **run: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    data = config["run"]["data"] | run.pop("data", {})
    config["run"] |= {**run, "data": data}
    (folder / "config.json").write_text(json.dumps(config))


@pytest.fixture
def address() -> Iterator[tuple[str, list[object]]]:
    """An address on this machine, and who called it."""
    calls: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            while True:
                try:
                    connection, caller = server.accept()
                except OSError:
                    return
                calls.append(caller)
                connection.close()

        Thread(target=answer, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/rooms", calls
        server.shutdown(socket.SHUT_RDWR)


READING_COMMANDS: dict[str, Callable[[str], list[str]]] = {
    "evaluate": lambda model: ["evaluate", "--checkpoint", model],
    "mean depth": lambda model: ["evaluate", "--checkpoint", model, "--control", "mean_depth"],
    "same dataset": lambda model: ["evaluate", "--checkpoint", model, "--dataset", "batvisionv2"],
    "compare": lambda model: ["compare", model],
    "predict": lambda model: ["predict", "--checkpoint", model, "--split", "test"],
    "export": lambda model: ["export", "--checkpoint", model, "--precision", "fp16", "--format", "pt2"],
}


@pytest.mark.parametrize("command", READING_COMMANDS)
@pytest.mark.parametrize("where", ["address", "folder", "folder above", "link"])
def test_nothing_is_read_fetched_or_written_because_of_a_model(
    command: str, where: str, model: Path, v2_root: Path, address: tuple[str, list[object]], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """``evaluate --checkpoint MODEL`` called an address in its config.json, and wrote what came into a folder there."""
    (tmp_path / "linked").symlink_to(v2_root)
    named = {"address": address[0], "folder": str(v2_root), "folder above": "../linked", "link": str(tmp_path)}
    change(model, data={"data_dir": named[where], "shard_cache": str(tmp_path / "cache"), "verify": True})
    before = {*tmp_path.rglob("*")}
    with pytest.raises(SystemExit) as stop:
        cli.main(READING_COMMANDS[command](str(model)))
    assert stop.value.code
    error = capsys.readouterr().err
    assert "as its own record alone says" in error
    assert "--data_dir" in error
    assert "Traceback" not in error
    assert not address[1]
    assert {*tmp_path.rglob("*")} == before


def test_the_demo_takes_no_examples_from_a_folder_that_a_model_names(model: Path, address: tuple[str, Any]) -> None:
    change(model, data={"data_dir": address[0]})
    assert find_examples(DemoConfig(str(model)), [Predictor(load_depth_model(model))]) == []
    assert not address[1]


def test_the_users_own_flag_chooses_the_data(model: Path, v2_root: Path, tmp_path: Path) -> None:
    change(model, data={"data_dir": "http://127.0.0.1:1/rooms", "shard_cache": str(tmp_path / "cache")})
    data = data_to_read(load_depth_model(model), None, v2_root)
    assert (data.data_dir, data.shard_cache, data.verify) == (v2_root, None, False)
    assert data_to_read(load_depth_model(model), None, "s3://bucket/rooms").data_dir == "s3://bucket/rooms"
    assert data_to_read(load_depth_model(model), "batvisionv1", None).root == Path("data/batvisionv1")
    assert trained_data(load_depth_model(model)).data_dir is None


def test_a_run_of_ones_own_is_read_from_where_it_was_trained(model: Path, v2_root: Path) -> None:
    with pytest.raises(ConfigError, match="was trained on"):
        data_to_read(load_depth_model(model), None, None)
    log = Path("logs/colleague/config.json")
    log.parent.mkdir(parents=True)
    log.write_text(json.dumps({"flags": {"data_dir": str(v2_root)}}))
    assert data_to_read(load_depth_model(model), None, None).data_dir == v2_root
    # A changed record, an address, and a log that cannot be read are nothing to go by.
    for recorded, logged in (("/elsewhere", str(v2_root)), ("http://a/b", "http://a/b"), (str(v2_root), "[")):
        change(model, data={"data_dir": recorded})
        log.write_text(logged if logged == "[" else json.dumps({"flags": {"data_dir": logged}}))
        with pytest.raises(ConfigError, match="give the folder or address of the dataset with --data_dir"):
            data_to_read(load_depth_model(model), None, None)


def test_the_default_root_of_a_dataset_is_read(model: Path, v2_root: Path) -> None:
    for recorded in ("data/batvisionv2", None):
        change(model, data={"data_dir": recorded})
        if recorded is None:
            with pytest.raises(ConfigError, match="give --dataset batvisionv2"):
                data_to_read(load_depth_model(model), None, None)
        assert data_to_read(load_depth_model(model), "batvisionv2", None).root == Path("data/batvisionv2")
    Path("data").mkdir()
    Path("data/batvisionv2").symlink_to(v2_root)
    assert data_to_read(load_depth_model(model), None, None).root == Path("data/batvisionv2")


@pytest.mark.parametrize(
    "name", ["../../x", "/tmp/x", "..", ".", "", "a/b", "a\\b", "C:x", "a\0", 101 * "a", None, 3, ["a"]]
)
def test_the_name_of_an_experiment_stays_below_results(name: object, model: Path) -> None:
    """``experiment_name`` = "../../x" had predict, evaluate and export write outside results/."""
    change(model, experiment_name=name)
    with pytest.raises(CheckpointError, match="experiment"):
        load_depth_model(model)


def test_a_file_of_weights_alone_gives_a_name_that_is_a_folder() -> None:
    for stem, name in {"my model (2)": "my_model_2_", "..": "unnamed", "a/../b": "a_.._b", "ears_2": "ears_2"}.items():
        assert experiment_name(stem) == name
    assert len(experiment_name(500 * "a")) == 100


@pytest.mark.parametrize(
    "run",
    [
        *([] , "a", {"read_from": "a"}, {"data": []}, {"data": "a"}, {"seed": "1"}, {"version": "\x1b[2J"}),
        *({"validation": [1]}, {"epoch": 1.5}, {"kind": 3}, {"field_of_view": [1]}, {"teacher": {}}),
    ],
)  # fmt: skip
def test_a_record_of_other_types_is_refused(run: Any) -> None:
    with pytest.raises(ValueError, match=r"^run( is|\.\w+)"):
        RunRecord.from_plain(run, "config.json")


@pytest.mark.parametrize(
    "data",
    [
        *({"max_depth": "far"}, {"max_depth": float("nan")}, {"audio_seconds": [1]}, {"locations": "Attic"}),
        *({"audio_start": "end"}, {"audio_start": 1.5}, {"image_size": True}, {"data_dir": 3}, {"dataset": ["a"]}),
        *({"audio_seconds": -1.0}, {"max_depth": 0.0}, {"of_a_later_version": 1}),
    ],
)
def test_data_settings_of_other_types_are_refused(data: dict[str, object], model: Path) -> None:
    change(model, data=data)
    with pytest.raises(
        CheckpointError, match=r"config\.json (records|was trained on a dataset that is not registered)"
    ):
        trained_data(load_depth_model(model))
