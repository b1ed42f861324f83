"""Models that claim more than they hold, or settings that need gigabytes: refused before anything is allocated."""

import json
import os
import shutil
import zipfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from echodepth.core import schema
from echodepth.core.errors import CheckpointError, EchodepthError
from echodepth.core.integrity import LARGEST_WEIGHTS, seal_file
from echodepth.inference.export_metadata import METADATA_KEY, ExportMetadata, parse_metadata
from echodepth.models.checkpoint import load_depth_model
from echodepth.models.run_record import RunRecord
from tests.tiny import save_tiny

pytestmark = pytest.mark.usefixtures("little_memory")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory, v2_root: Path) -> Path:
    folder = tmp_path_factory.mktemp("models") / "ears"
    save_tiny(folder, v2_root)
    return folder


@pytest.fixture
def folder(tmp_path: Path, saved: Path) -> Path:
    shutil.copytree(saved, tmp_path / "ears")
    return tmp_path / "ears/best"


def change(folder: Path, **groups: dict[str, object]) -> None:
    config = json.loads((folder / "config.json").read_text())
    for group, values in groups.items():
        config[group] |= values
    del config["seal"]  # as another program writes it
    (folder / "config.json").write_text(json.dumps(config))


HUGE = 10**9
ARGUMENTS: tuple[dict[str, Any], ...] = (
    *({"base_channels": HUGE}, {"base_channels": 512}, {"base_channels": 2.5}, {"base_channels": "2"}),
    *({"output_size": HUGE}, {"output_size": 1025}, {"ear_channels": HUGE}, {"ear_channels": 500}),
    *({"max_depth": 1e300}, {"max_depth": float("inf")}, {"max_depth": float("nan")}, {"max_depth": "30"}),
    *({"attention_levels": [HUGE]}, {"attention_levels": HUGE}, {"unknown": 1}, {"uncertainty": True}),
)
FRONT_ENDS: tuple[dict[str, Any], ...] = (
    *({"image_size": HUGE}, {"image_size": 1025}, {"image_size": 15}, {"n_fft": HUGE}, {"n_fft": 0}),
    *({"win_length": HUGE}, {"win_length": 0}, {"hop_length": 0}, {"hop_length": 1}, {"audio_bins": HUGE}),
    *({"audio_frames": 4096}, {"audio_range": 1e9}, {"audio_range": float("nan")}, {"chirp": 5000 * [0.5]}),
    *({"chirp": "/etc/passwd"}, {"binaural_cues": 3, "spectrogram": "magnitude"}, {"name": "no such"}, {"name": ["a"]}),
)


@pytest.mark.parametrize("arguments", ARGUMENTS, ids=str)
def test_arguments_of_a_network_have_bounds(arguments: dict[str, object], folder: Path) -> None:
    """``base_channels`` of a billion was built before anyone saw that the weights are others."""
    change(folder, arguments=arguments)
    with pytest.raises(CheckpointError, match="best"):
        load_depth_model(folder)


@pytest.mark.parametrize("settings", FRONT_ENDS, ids=lambda settings: str(settings)[:40])
def test_settings_of_a_front_end_have_bounds(settings: dict[str, object], folder: Path) -> None:
    change(folder, front_end=settings)
    with pytest.raises(CheckpointError):
        load_depth_model(folder)


def test_no_network_is_built_that_the_weights_do_not_fit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change(folder, arguments={"base_channels": 512})
    built: list[str] = []
    original = torch.nn.Conv2d.__init__

    def watched(self: torch.nn.Conv2d, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        built.append(self.weight.device.type)

    monkeypatch.setattr(torch.nn.Conv2d, "__init__", watched)
    with pytest.raises(CheckpointError, match=r"the weights in .* do not fit .*size mismatch"):
        load_depth_model(folder)
    assert set(built) == {"meta"}


@pytest.mark.parametrize(
    "text",
    [
        *("", "[", "[]", "3", '"a"', 100_000 * "[", '{"format": 2}', '{"format": [], "network": 3}'),
        *('{"format": 1, "network": [], "arguments": {}, "front_end": {}, "run": {}}', "\ud800"),
    ],
    ids=lambda text: text[:20],
)
def test_a_config_of_another_shape_is_one_error(text: str, folder: Path) -> None:
    (folder / "config.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(CheckpointError, match="best"):
        load_depth_model(folder)


DEEP = 100_000 * "[" + 100_000 * "]"
FIELDS: tuple[tuple[dict[str, Any], str], ...] = (
    ({"network": ["rgb"]}, r"network is \['rgb'\], where text belongs"),
    ({"arguments": []}, "arguments is .*, where a mapping belongs"),
    ({"arguments": {"bilinear": "False"}}, "arguments.bilinear is 'False', where true or false belongs"),
    ({"more": 1}, "more is unknown: there are network, arguments, front_end, format, run"),
    ({"format": True}, "has format True; this version of echodepth reads 1 to 2"),
    ({"format": 2.0}, r"has format 2\.0; this version"),
    ({"run": {"flags": "@deep@"}}, "it is not JSON: it is nested too deeply"),
    ({"run": {"flags": [[[]]]}}, "run.flags is .*, where a mapping belongs"),
    ({"run": {"validation": {"rmse": "low"}}}, "run.validation.rmse is 'low', where a finite number belongs"),
    ({"run": {"seed": 10**30}}, "run.seed is 1000.*, where a whole number belongs"),
)


@pytest.mark.parametrize(("fields", "message"), FIELDS, ids=str)
def test_a_field_of_another_type_is_named(fields: dict[str, Any], message: str, folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text()) | fields
    config.pop("seal", None)  # as an attacker does
    (folder / "config.json").write_text(json.dumps(config).replace('"@deep@"', DEEP))
    with pytest.raises(CheckpointError, match=message):
        load_depth_model(folder)


PARTS: tuple[tuple[dict[str, Any], str], ...] = (
    ({"model_spec": 3}, "is not a complete checkpoint: model_spec is 3"),
    ({"run": ["a"]}, "is not a complete checkpoint: run is"),
    ({"run": {"data": 3}, "format": 1}, "is not a complete checkpoint: run.data is 3, where a mapping belongs"),
    ({"format": torch.ones(3)}, r"has format tensor\(\[1\., 1\., 1\.\]\)"),
    ({"model_state_dict": [torch.ones(3)]}, "has no model_state_dict"),
    ({"model_state_dict": {3: torch.ones(3)}}, "model_state_dict is 3, where text belongs"),
)


@pytest.mark.parametrize(("parts", "message"), PARTS, ids=str)
def test_a_part_of_a_checkpoint_of_another_type_is_named(
    parts: dict[str, Any], message: str, folder: Path, tmp_path: Path
) -> None:
    model = load_depth_model(folder)
    whole = {"format": 2, "model_spec": vars(model.spec), "run": model.run.to_plain()}
    torch.save({**whole, "model_state_dict": model.network.state_dict(), **parts}, tmp_path / "epoch_0001.pth")
    with pytest.raises(CheckpointError, match=rf"epoch_0001\.pth .*{message}"):
        load_depth_model(tmp_path / "epoch_0001.pth")


def test_a_config_has_a_size(folder: Path) -> None:
    (folder / "config.json").write_bytes(b" " * (2**23 + 1))
    with pytest.raises(CheckpointError, match=r"best is not a complete model folder: it has more than 8 MB"):
        load_depth_model(folder)


def test_weights_that_are_larger_than_their_file_are_refused(tmp_path: Path, folder: Path) -> None:
    """A tensor without strides repeats one number: 4 bytes in the file claim to be all of a network."""
    weights = load_depth_model(folder).network.state_dict()
    expanded = {name: torch.zeros(()).expand(value.shape) for name, value in weights.items()}
    wide = {name: torch.zeros(()).expand([HUGE, *value.shape[1:]]) for name, value in weights.items()}
    meta = {name: value.to("meta") for name, value in weights.items()}
    sparse = {name: value.to_sparse() if value.ndim else value for name, value in weights.items()}
    doubled = {name: value.to(torch.complex64) for name, value in weights.items()}
    for claimed in (
        expanded,
        wide,
        meta,
        sparse,
        doubled,
        {**weights, "x": 3},
        {**weights, "x": torch.zeros(1).as_strided((9, 9), (0, 0))},
    ):
        torch.save({"model_state_dict": claimed}, tmp_path / "claimed.pth")
        with pytest.raises(
            CheckpointError, match=r"claimed\.pth .*(no whole tensor|cannot be read|where Tensor belongs)"
        ):
            load_depth_model(tmp_path / "claimed.pth")
    save_file({"a": torch.zeros(3)}, folder / "model.safetensors")
    change(folder)  # without the sha256 of the weights
    with pytest.raises(CheckpointError, match="do not fit"):
        load_depth_model(folder)


def test_a_compressed_checkpoint_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    """10 MB were 10 GB once unpacked, twice over; a seal, which anyone can make, did not help."""
    path = tmp_path / "bomb.pth"
    for is_sealed in (False, True):
        way = zipfile.ZIP_BZIP2 if is_sealed else zipfile.ZIP_DEFLATED
        with zipfile.ZipFile(path, "w", way) as archive, archive.open("archive/data.pkl", "w") as file:
            for _ in range(100):
                file.write(bytes(2**20))
        if is_sealed:
            seal_file(path)
        with pytest.raises(CheckpointError, match=r"bomb\.pth is damaged, its archive has parts that are compressed"):
            load_depth_model(path)


def test_parts_of_a_checkpoint_do_not_overlap(tmp_path: Path, folder: Path) -> None:
    """A part that is listed many times over is read as often."""
    path = tmp_path / "bomb.pth"
    torch.save({"model_state_dict": load_depth_model(folder).network.state_dict()}, path)
    load_depth_model(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.filelist += 9 * archive.filelist
        archive._didModify = True  # type: ignore[attr-defined]
    with pytest.raises(CheckpointError, match=r"bomb\.pth is damaged, its archive has parts that .* overlap"):
        load_depth_model(path)


def test_lists_of_lists_are_not_followed_a_billion_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pickle holds a list once, however often others hold it: 30 lists of the next one, twice, are 2**30 entries.

    They were refused after a look into eight million of them, which took a minute.
    """
    looks: list[int] = []
    original = schema._entries

    def watched(value: object) -> Collection[Any]:
        looks.append(id(value))
        return original(value)

    monkeypatch.setattr(schema, "_entries", watched)
    laughs: list[Any] = []
    for _ in range(30):
        laughs = [laughs, laughs]
    torch.save({"model_state_dict": {}, "run": laughs}, tmp_path / "laughs.pth")
    with pytest.raises(CheckpointError, match=r"laughs\.pth cannot be read as a checkpoint of plain tensors"):
        load_depth_model(tmp_path / "laughs.pth")
    assert len(looks) < 100


def test_weights_have_a_size(folder: Path, tmp_path: Path) -> None:
    """A sparse file takes no room on a disk or in an archive, and a minute to read."""
    (tmp_path / "a.pth").touch()
    for path, model in ((folder / "model.safetensors", folder), (tmp_path / "a.pth", tmp_path / "a.pth")):
        os.truncate(path, LARGEST_WEIGHTS + 1)
        with pytest.raises(CheckpointError, match=rf"{path.name} is damaged, it has more than 8 GB, as no model has"):
            load_depth_model(model)


METADATA: dict[str, Any] = {
    **{"version": "1", "checkpoint": "a", "precision": "fp32", "input_key": "audio", "image_size": 32},
    **{"max_depth": 30.0, "run": RunRecord(), "sample_rate": 44100, "samples": 882},
}
CLAIMS: tuple[dict[str, Any], ...] = (
    *({"image_size": HUGE}, {"image_size": "32"}, {"image_size": True}, {"samples": HUGE}, {"samples": None}),
    *({"samples": 0.5}, {"max_depth": "a"}, {"max_depth": float("nan")}, {"input_key": "image"}, {"input_key": []}),
    *({"run": []}, {"run": {"experiment_name": "../../x"}}, {"run": {"data": []}}, {"mirror_average": "yes"}),
)


@pytest.mark.parametrize("claims", CLAIMS, ids=str)
def test_an_exported_file_claims_no_size_of_its_own(claims: dict[str, object]) -> None:
    """The record is checked before it becomes an ``ExportMetadata``, whose types pytest checks."""
    text = ExportMetadata(**METADATA).to_json()
    assert parse_metadata(text, Path("a.onnx")).samples == 882
    with pytest.raises(CheckpointError, match=r"^a\.onnx: .*make it again"):
        parse_metadata(json.dumps(json.loads(text) | claims), Path("a.onnx"))


@pytest.mark.parametrize("text", ["[", 100_000 * "[", "3", "[]", f'{{"{METADATA_KEY}": 1}}'], ids=lambda text: text[:5])
def test_metadata_of_another_shape_is_one_error(text: str) -> None:
    with pytest.raises(EchodepthError, match=r"^a\.onnx"):
        parse_metadata(text, Path("a.onnx"))


def test_a_trained_cut_has_a_length(folder: Path) -> None:
    """Seconds of the training's cut become samples of an exported graph's input."""
    from echodepth.data.audio import AudioCut
    from echodepth.data.recorded import trained_data

    config = json.loads((folder / "config.json").read_text())
    config["run"]["data"]["audio_seconds"] = 1e9
    (folder / "config.json").write_text(json.dumps(config))
    refused: Callable[[], object] = lambda: AudioCut(seconds=trained_data(load_depth_model(folder)).cut_seconds)  # noqa: E731
    with pytest.raises(EchodepthError, match=r"audio_seconds is 1e\+09: .* 10 s at most"):
        refused()
