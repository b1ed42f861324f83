"""The Python interface: what ``import echodepth`` offers, what it takes, how it shows itself, what its errors say."""

import dataclasses
import importlib
import inspect
import pydoc
import typing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import echodepth
from echodepth import DataConfig, Estimate, cli, load_model, open_dataset, tensor_loader
from echodepth.apps.commands import COMMANDS
from echodepth.core.errors import ConfigError, DataError, names_arguments, naming_flags
from tests.tiny import SECONDS, SIDE, save_tiny

ORIGINAL = (
    *("RGBDepthNet", "BinauralAttentionDepthNet", "create_rgb_depth_model", "create_binaural_attention_model"),
    "load_model",
)


def test_the_names_of_the_original_description_need_no_repository() -> None:
    for name in ORIGINAL:
        assert inspect.getmodule(getattr(echodepth, name)).__name__.startswith("echodepth.")  # type: ignore[union-attr]


def test_every_public_name_is_listed_found_and_explained() -> None:
    assert "__all__" not in vars(echodepth)  # with it, help(echodepth) lists what the networks inherit from torch
    assert set(ORIGINAL) < set(dir(echodepth))
    for name in dir(echodepth):
        assert getattr(echodepth, name) is getattr(echodepth, name)
        assert name == "__version__" or name in str(echodepth.__doc__)


def test_help_is_a_page() -> None:
    """pydoc lists whatever ``dir`` does, with all that a network inherits from torch: 6000 lines."""
    page = pydoc.render_doc(echodepth, renderer=pydoc.plaintext)  # type: ignore[attr-defined]
    assert page.count("\n") < 80
    assert all(name in page for name in ORIGINAL)


def _configs() -> list[type]:
    """Those of the commands that take a path."""
    found = []
    for command in COMMANDS:
        module, _, name = command.flags.partition(":")
        config = getattr(importlib.import_module(module), name)
        if isinstance(config, type) and "Path" in str(typing.get_type_hints(config)):
            found.append(config)
    return found


@pytest.mark.parametrize("config", [*_configs(), DataConfig], ids=lambda each: each.__name__)
def test_a_path_of_a_config_may_be_text(config: Any) -> None:
    """A ``data_dir`` given as text was taken for the address of shards."""
    hints = typing.get_type_hints(config)
    given: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        options = typing.get_args(hints[field.name]) or (hints[field.name],)
        if Path in options:
            given[field.name] = ["some/folder"] if typing.get_origin(hints[field.name]) is tuple else "some/folder"
        elif field.default is dataclasses.MISSING:
            given[field.name] = hints[field.name]()
    built = config(**given)
    for name, value in given.items():
        if value == "some/folder":
            assert getattr(built, name) == Path("some/folder"), name
        elif value == ["some/folder"]:
            assert getattr(built, name) == (Path("some/folder"),), name


def test_an_address_stays_text_and_a_folder_is_read(v2_root: Path) -> None:
    assert DataConfig(data_dir="s3://bucket/rooms").data_dir == "s3://bucket/rooms"
    config = DataConfig(data_dir=str(v2_root), image_size=SIDE, audio_seconds=SECONDS)
    dataset = open_dataset(config, "val")
    assert repr(dataset) == "DepthDataset(4 frames of image, audio, depth; 32x32, 30 m)"


def test_errors_of_python_name_arguments_and_those_of_commands_flags(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for call in (lambda: tensor_loader("nowhere"), lambda: open_dataset(DataConfig(data_dir="nowhere"), "train")):
        with pytest.raises(DataError, match=r"simulated rooms with dataset simulated; data_dir selects another root$"):
            call()
    with pytest.raises(ConfigError, match=r"^m\.onnx is not for backend torch: leave it out, or use backend onnx$"):
        load_model("m.onnx", backend="torch")
    with pytest.raises(SystemExit):
        cli.main(["predict", "a.wav", "--checkpoint", "m.onnx", "--backend", "torch"])
    assert "m.onnx is not for --backend torch" in capsys.readouterr().err


def test_a_command_to_type_keeps_its_flags() -> None:
    @names_arguments
    def fail() -> None:
        raise ConfigError(
            "--a b: make it with `echodepth export --format onnx`, echodepth shard --out x; or --c=1 a--b"
        )

    with pytest.raises(ConfigError) as raised:
        fail()
    kept = "`echodepth export --format onnx`, echodepth shard --out x"
    assert str(raised.value) == f"a b: make it with {kept}; or c=1 a--b"
    with naming_flags(), pytest.raises(ConfigError, match=r"^--a b"):
        fail()


def test_an_estimate_and_its_model_show_themselves_in_a_line(v2_root: Path, tmp_path: Path) -> None:
    save_tiny(tmp_path / "ears", v2_root)
    model = load_model(str(tmp_path / "ears"), "cpu")
    assert (
        repr(model) == "Predictor(ears: DepthModel(binaural_attention, 0.03 M parameters: audio to 32x32, up to 30 m))"
    )
    depth = np.linspace(1, 3, 6, dtype=np.float32).reshape(2, 3)
    assert repr(Estimate(depth)) == "Estimate(2x3, 1.00 to 3.00 m, median 2.00 m)"
    assert repr(Estimate(depth[None], 0 * depth[None] + 0.25)) == (
        "Estimate(1x2x3, 1.00 to 3.00 m, median 2.00 m, median uncertainty 0.25 m)"
    )


def test_a_plot_has_every_map_and_bars_in_metres() -> None:
    depth = np.linspace(1, 3, 64, dtype=np.float32).reshape(8, 8)
    alone = Estimate(depth).plot()
    assert [axis.get_title() for axis in alone.axes][:1] == ["depth"]
    truth = np.full((4, 4), 6.0)
    truth[0, 0], truth[0, 1] = 0, np.nan
    figure = Estimate(np.stack([depth, depth]), np.stack([depth, depth]) / 10).plot(np.stack([truth, truth]), "kitchen")
    images = [np.asarray(axis.images[0].get_array()) for axis in figure.axes if axis.images]
    titles = [axis.get_title() for axis in figure.axes if axis.get_title()]
    assert (len(images), titles) == (6, ["depth", "ground truth", "predicted uncertainty"])
    labels = {axis.get_xlabel() + axis.get_ylabel() for axis in figure.axes}
    assert {"depth in m (grey: unknown)", "predicted uncertainty in m"} <= labels
    assert (images[1][0, 0] == images[1][0, 1]).all()  # both are unknown, thus grey
    assert not (images[1][0, 0] == images[1][3, 3]).all()
    with pytest.raises(
        DataError, match=r"ground_truth must be one map for each of depth, which is \[8, 8\], not \[1, 4"
    ):
        Estimate(depth).plot(truth[None])
