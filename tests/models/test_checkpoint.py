"""Models on disk: what is written is read back, what does not fit is refused by name."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from echodepth.core.errors import CheckpointError
from echodepth.core.field_of_view import FieldOfView
from echodepth.models.checkpoint import DepthModel, ModelSpec, load_depth_model, save_model
from echodepth.models.networks import NETWORKS
from echodepth.models.networks.binaural_attention import create_binaural_attention_model
from echodepth.models.networks.rgb_depth import RGBDepthNet, create_rgb_depth_model
from echodepth.models.removed_attention import drop_attention_pattern
from echodepth.models.run_record import RunRecord

SPECS = {
    "rgb": ModelSpec("rgb", {"base_channels": 4, "output_size": 32}, {"image_size": 32}),
    "binaural_attention": ModelSpec(
        "binaural_attention",
        {"base_channels": 4, "output_size": 32, "attention_levels": [3, 5]},
        {"image_size": 32, "spectrogram": "magnitude"},
    ),
    "binaural_attention, factorized": ModelSpec(
        "binaural_attention", {"base_channels": 4, "output_size": 32, "convolution": "factorized"}, {"image_size": 32}
    ),
    "light": ModelSpec("light", {"base_channels": 8, "output_size": 32, "attention_levels": [5]}, {"image_size": 32}),
    "unet_baseline": ModelSpec("unet_baseline", {"base_channels": 2, "output_size": 32}, {"image_size": 32}),
}


def raw(model: DepthModel) -> torch.Tensor:
    return torch.rand(1, 3, 40, 50) if model.input_key == "image" else torch.randn(1, 2, 4000)


@pytest.mark.parametrize("spec", SPECS.values(), ids=list(SPECS))
def test_a_model_folder_gives_the_same_model_back(spec: ModelSpec, tmp_path: Path) -> None:
    model = DepthModel(spec, RunRecord(experiment_name="tiny", seed=3))
    save_model(model, tmp_path / "best")
    again = load_depth_model(tmp_path / "best")
    x = raw(model)
    assert torch.equal(again(x), model.eval()(x))
    assert again.run == RunRecord(experiment_name="tiny", seed=3)
    assert again.spec == model.spec
    assert (again.spec.network, again.spec.arguments) == (spec.network, spec.arguments)
    assert again.spec.front_end == spec.front_end | {"name": model.front_end.name}
    assert not again.training
    assert sorted(p.name for p in tmp_path.iterdir()) == ["best"]


def test_the_camera_is_saved_as_two_angles(tmp_path: Path) -> None:
    """In a folder and in a checkpoint, as plain numbers that other programs and ``weights_only`` read."""
    model = DepthModel(SPECS["rgb"], RunRecord(field_of_view=FieldOfView(86.0, 57.5)))
    save_model(model, tmp_path / "best")
    saved = json.loads((tmp_path / "best" / "config.json").read_text())
    assert saved["run"]["field_of_view"] == [86.0, 57.5]
    assert "- field of view of the camera: 86 x 57.5 degrees" in (tmp_path / "best" / "README.md").read_text()
    checkpoint = {"model_spec": vars(model.spec), "run": model.run.to_plain(), "format": 2}
    torch.save({**checkpoint, "model_state_dict": model.network.state_dict()}, tmp_path / "epoch_0001.pth")
    for path in (tmp_path / "best", tmp_path / "epoch_0001.pth"):
        assert load_depth_model(path).run == model.run
    for wrong, why in (([86.0], "a list of 2"), ([86.0, 200.0], "two angles between 0 and 180"), (86.0, "a list of 2")):
        saved["run"]["field_of_view"] = wrong
        (tmp_path / "best" / "config.json").write_text(json.dumps(saved))
        with pytest.raises(CheckpointError, match=f"best is not a complete model folder: run.field_of_view.*{why}"):
            load_depth_model(tmp_path / "best")


def test_a_second_save_replaces_the_first(tmp_path: Path) -> None:
    for epoch in (1, 2):
        save_model(DepthModel(SPECS["rgb"], RunRecord(epoch=epoch)), tmp_path / "best")
    assert load_depth_model(tmp_path / "best").run.epoch == 2


def test_the_card_says_what_is_known(tmp_path: Path) -> None:
    run = RunRecord(experiment_name="tiny", data={"dataset": "rgbd"}, validation={"rmse": 0.25})
    save_model(DepthModel(SPECS["rgb"], run), tmp_path / "best")
    card = (tmp_path / "best" / "README.md").read_text()
    assert "# tiny" in card
    assert "- data: rgbd" in card
    assert "| rmse | 0.2500 |" in card
    assert "teacher" not in card
    assert "Training data:" not in card


def test_the_saved_weights_are_the_network_alone(tmp_path: Path) -> None:
    model = DepthModel(SPECS["binaural_attention"])
    save_model(model, tmp_path / "best")
    assert set(load_file(tmp_path / "best" / "model.safetensors")) == set(model.network.state_dict())


def test_a_checkpoint_of_a_plain_state_dict_is_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    network = create_rgb_depth_model(base_channels=4, bilinear=False).eval()
    torch.save({"model_state_dict": network.state_dict()}, tmp_path / "original.pth")
    model = load_depth_model(tmp_path / "original.pth")
    x = torch.rand(1, 3, 256, 256)
    assert torch.equal(model(x), network(x))
    assert "taken as 256 pixels and 30 m" in caplog.text


def test_attention_levels_are_inferred_from_a_plain_state_dict(tmp_path: Path) -> None:
    network = create_binaural_attention_model(base_channels=4, attention_levels=(2, 5))
    torch.save({"model_state_dict": network.state_dict()}, tmp_path / "original.pth")
    assert load_depth_model(tmp_path / "original.pth").spec.arguments["attention_levels"] == [2, 5]


@pytest.mark.parametrize("bilinear", [True, False])
@pytest.mark.parametrize("convolution", ["full", "factorized"])
def test_the_convolution_is_inferred_from_a_plain_state_dict(convolution: str, bilinear: bool, tmp_path: Path) -> None:
    network = create_binaural_attention_model(4, bilinear, attention_levels=(), convolution=convolution).eval()
    torch.save({"model_state_dict": network.state_dict()}, tmp_path / "original.pth")
    model = load_depth_model(tmp_path / "original.pth")
    assert model.spec.arguments["convolution"] == convolution
    spectrograms = torch.rand(1, 2, 32, 32)
    assert torch.equal(model.network(spectrograms), network(spectrograms))


def test_a_folder_from_before_there_was_a_choice_of_convolution_is_read(tmp_path: Path) -> None:
    spec = SPECS["binaural_attention"]
    assert "convolution" not in spec.arguments
    model = DepthModel(spec).eval()
    save_model(model, tmp_path / "best")
    again = load_depth_model(tmp_path / "best")
    x = raw(model)
    assert torch.equal(again(x), model(x))


def saved_with_pattern(pattern: str, levels: list[int] | None, folder: Path) -> tuple[DepthModel, list[Path]]:
    """A model, and its folder and checkpoint from when attention had patterns."""
    arguments = {"base_channels": 4, "output_size": 32} | ({} if levels is None else {"attention_levels": levels})
    spec = ModelSpec("binaural_attention", arguments, {"image_size": 32})
    model = DepthModel(spec, RunRecord(flags={"attention": pattern, "bilinear": True})).eval()
    save_model(model, folder / "best")
    config = json.loads((folder / "best" / "config.json").read_text())
    config["arguments"]["attention"] = pattern
    del config["seal"], config["run"]["seal"]
    (folder / "best" / "config.json").write_text(json.dumps(config))
    saved = {"model_spec": {key: config[key] for key in ("network", "arguments", "front_end")}, "run": config["run"]}
    torch.save({**saved, "format": 2, "model_state_dict": model.network.state_dict()}, folder / "epoch_0001.pth")
    return model, [folder / "best", folder / "epoch_0001.pth"]


@pytest.mark.parametrize(("pattern", "levels"), [("full", [3, 5]), ("full", None), ("band", [])])
def test_full_attention_and_none_are_read_without_their_pattern(
    pattern: str, levels: list[int] | None, tmp_path: Path
) -> None:
    model, paths = saved_with_pattern(pattern, levels, tmp_path)
    x = raw(model)
    for path in paths:
        again = load_depth_model(path)
        assert torch.equal(again(x), model(x))
        assert again.spec == model.spec
        assert again.run.flags == {"bilinear": True}


def test_a_network_from_elsewhere_keeps_an_argument_of_that_name(monkeypatch: pytest.MonkeyPatch) -> None:
    class Own(RGBDepthNet):
        def __init__(self, attention: str) -> None:
            super().__init__()

    monkeypatch.setitem(NETWORKS._entries, "own", Own)
    for network in ("own", "not_loaded"):
        saved = {"network": network, "arguments": {"attention": "band"}}
        assert drop_attention_pattern(saved, Path("best")) == saved


@pytest.mark.parametrize("levels", [[4], None])
@pytest.mark.parametrize("pattern", ["band", "time", "pooled"])
def test_a_removed_attention_pattern_is_refused(pattern: str, levels: list[int] | None, tmp_path: Path) -> None:
    for path in saved_with_pattern(pattern, levels, tmp_path)[1]:
        with pytest.raises(CheckpointError) as refused:
            load_depth_model(path)
        assert str(refused.value) == (
            f"{path} has {pattern} attention, which this version no longer has: load it with commit ba0a49b of "
            "echodepth, the last one that has it, or train the model again"
        )


def test_an_experiment_is_found_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save_model(DepthModel(SPECS["rgb"], RunRecord(seed=7)), Path("checkpoints/mine/best"))
    assert load_depth_model("mine").run.seed == 7
    assert load_depth_model("checkpoints/mine").run.seed == 7
    with pytest.raises(CheckpointError, match=r"no model at yours: .*\(there are mine(, echodepth-\w+)*\)"):
        load_depth_model("yours")


def test_weights_that_do_not_fit_are_named(tmp_path: Path) -> None:
    save_model(DepthModel(SPECS["rgb"]), tmp_path / "best")
    config = json.loads((tmp_path / "best" / "config.json").read_text())
    config["arguments"]["base_channels"] = 8
    del config["seal"]
    (tmp_path / "best" / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"do not fit .*size mismatch for encoder"):
        load_depth_model(tmp_path / "best")


def test_a_missing_tensor_is_never_passed_over(tmp_path: Path) -> None:
    weights = create_rgb_depth_model(base_channels=4).state_dict()
    del weights["head.conv.bias"]
    torch.save({"model_state_dict": weights}, tmp_path / "holey.pth")
    with pytest.raises(CheckpointError, match=r"head\.conv\.bias"):
        load_depth_model(tmp_path / "holey.pth")


def test_a_pickled_object_is_refused(tmp_path: Path) -> None:
    torch.save(create_rgb_depth_model(base_channels=4), tmp_path / "pickled.pth")
    with pytest.raises(CheckpointError, match="cannot be read as a checkpoint of plain tensors"):
        load_depth_model(tmp_path / "pickled.pth")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"state_dict": {}}, "has no model_state_dict"),
        ({"model_state_dict": {"a": torch.zeros(1)}}, "not contain the weights of any"),
    ],
)
def test_another_kind_of_checkpoint_is_refused(content: object, message: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match=message):
        load_depth_model(tmp_path / "other.pth")


@pytest.mark.parametrize("spoil", ["config.json", "model.safetensors"])
def test_half_a_folder_is_refused(spoil: str, tmp_path: Path) -> None:
    save_model(DepthModel(SPECS["rgb"]), tmp_path / "best")
    path = tmp_path / "best" / spoil
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(CheckpointError, match=r"is not a complete model folder|model\.safetensors is damaged"):
        load_depth_model(tmp_path / "best")


@pytest.mark.parametrize(
    ("old", "new"), [('"run"', '"ran"'), ('"base_channels"', '"bass_channels"'), ("{", "[{"), ('"format"', '"fromat"')]
)
def test_a_folder_of_another_making_is_refused(old: str, new: str, tmp_path: Path) -> None:
    save_model(DepthModel(SPECS["rgb"]), tmp_path / "best")
    path = tmp_path / "best" / "config.json"
    config = json.loads(path.read_text())
    del config["seal"]
    text = json.dumps(config).replace(old, new, 1)
    path.write_text(text + "]" if new == "[{" else text)
    with pytest.raises(CheckpointError, match="is not a complete model folder"):
        load_depth_model(tmp_path / "best")


@pytest.mark.parametrize("content", [b"", b"hello\n", b"PK\x03\x04 half an archive"], ids=["empty", "text", "archive"])
def test_a_file_that_is_no_checkpoint_is_refused(content: bytes, tmp_path: Path) -> None:
    """torch raises what its unpickler stumbles over, and advises to load such a file with its safeguards off."""
    path = tmp_path / "broken.pth"
    path.write_bytes(content)
    with pytest.raises(
        CheckpointError, match=r"cannot be read as a checkpoint|is damaged, its end is missing"
    ) as refused:
        load_depth_model(path)
    assert "weights_only" not in str(refused.value)


def test_an_unknown_network_is_refused() -> None:
    with pytest.raises(
        CheckpointError, match=r"unknown network 'vit': there are .*binaural_attention.*rgb.* with --plugin MODULE"
    ):
        DepthModel(ModelSpec("vit"))


def test_feature_channels_are_those_of_the_maps() -> None:
    model = DepthModel(SPECS["binaural_attention"]).train()
    channels = model.feature_channels()
    assert channels["x1"] == 4
    assert channels["x5"] == 32
    assert model.training


def test_a_model_behind_a_front_end_has_a_size_and_a_short_repr() -> None:
    model = DepthModel(ModelSpec("rgb", {"base_channels": 2, "output_size": None}, {"image_size": 32}))
    assert model(torch.rand(1, 3, 40, 50)).shape == (1, 1, 32, 32)
    assert repr(model) == "DepthModel(rgb, 0.02 M parameters: image to 32x32, up to 30 m)"
