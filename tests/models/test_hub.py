"""Models from anywhere: a folder, a name, a checkpoint, or the Hugging Face Hub, which a stand-in plays."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import echodepth
from echodepth import Predictor, load_model
from echodepth.core.errors import CheckpointError
from tests.tiny import save_tiny_rgb


@pytest.fixture
def photo() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (24, 40, 3), dtype=np.uint8)


def test_the_package_offers_what_one_needs() -> None:
    assert echodepth.load_model is load_model
    with pytest.raises(AttributeError, match="module 'echodepth' has no attribute 'lode_model'"):
        echodepth.lode_model  # noqa: B018


def test_a_model_is_loaded_from_a_folder_a_name_and_a_checkpoint(
    photo: np.ndarray, v2_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = save_tiny_rgb(Path("checkpoints/mine"), v2_root)
    torch.save(
        {
            "model_state_dict": model.network.state_dict(),
            "model_spec": {"network": "rgb", "arguments": model.spec.arguments, "front_end": model.spec.front_end},
            "run": model.run.to_plain(),
            "format": 2,
        },
        "epoch.pth",
    )
    expected = Predictor(model).infer(photo).depth
    for place in ("mine", "checkpoints/mine/best", Path("checkpoints/mine"), "epoch.pth"):
        loaded = load_model(place, device="cpu")
        assert loaded.name == "mine"
        np.testing.assert_array_equal(loaded.infer(photo).depth, expected)


class Hub:
    """Hugging Face's client, of a hub with one model."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        import huggingface_hub

        self.folder = folder
        self.asked: list[tuple[str, str | None]] = []
        self.uploaded: dict[str, str] = {}
        self.failure: Exception | None = None
        monkeypatch.setattr(huggingface_hub, "snapshot_download", self.snapshot_download)
        monkeypatch.setattr(huggingface_hub, "HfApi", lambda: self)

    def snapshot_download(self, repo_id: str, revision: str | None, allow_patterns: list[str]) -> str:
        self.asked.append((repo_id, revision))
        if self.failure is not None:
            raise self.failure
        return str(self.folder)

    def create_repo(self, repo_id: str, private: bool, exist_ok: bool) -> str:
        if self.failure is not None:
            raise self.failure
        return f"https://huggingface.co/{repo_id}"

    def upload_folder(self, repo_id: str, folder_path: Path, commit_message: str, allow_patterns: list[str]) -> None:
        self.uploaded = {path.name: path.read_text(errors="replace") for path in folder_path.iterdir()}


@pytest.fixture
def hub(tmp_path: Path, v2_root: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    monkeypatch.chdir(tmp_path)
    save_tiny_rgb(tmp_path / "cache" / "eyes", v2_root)
    return Hub(tmp_path / "cache" / "eyes" / "best", monkeypatch)


def test_a_model_is_fetched_from_the_hub(hub: Hub, photo: np.ndarray) -> None:
    expected = load_model(hub.folder, "cpu").infer(photo).depth
    np.testing.assert_array_equal(load_model("org/eyes", "cpu").infer(photo).depth, expected)
    load_model("org/eyes@v1.0", "cpu")
    assert hub.asked == [("org/eyes", None), ("org/eyes", "v1.0")]


@pytest.mark.parametrize("place", ["checkpoints/eyes", "cache/ears", "eyes", "a/b/c", "../eyes", "/eyes"])
def test_what_is_meant_as_a_path_is_not_asked_of_the_hub(hub: Hub, place: str) -> None:
    with pytest.raises(CheckpointError, match=f"no model at {place}: .*or ORG/NAME on the Hugging Face Hub"):
        load_model(place)
    assert hub.asked == []


def _failure(name: str) -> Exception:
    from huggingface_hub import errors

    if name == "LocalEntryNotFoundError":
        return errors.LocalEntryNotFoundError("offline")
    kind: Any = getattr(errors, name)
    error: Exception = kind.__new__(kind)
    error.args = ("401 Client Error.\n\nMore of it",)
    return error


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        ("RepositoryNotFoundError", r"no model org/eyes@v1 exists locally or on the Hugging Face Hub: check the"),
        ("GatedRepoError", "no model org/eyes@v1 exists locally .* log in first"),
        ("RevisionNotFoundError", "org/eyes has no revision v1 on the Hugging Face Hub"),
        (
            "LocalEntryNotFoundError",
            "org/eyes@v1 is not in the cache and the Hugging Face Hub cannot be reached",
        ),
        (
            "HfHubHTTPError",
            r"org/eyes@v1 cannot be fetched from the Hugging Face Hub \(401 Client Error\.\)",
        ),
    ],
)
def test_a_failed_download_is_reported(hub: Hub, failure: str, message: str) -> None:
    hub.failure = _failure(failure)
    with pytest.raises(CheckpointError, match=message) as refused:
        load_model("org/eyes@v1")
    assert "\n" not in str(refused.value)


def test_another_kind_of_model_on_the_hub_is_refused(hub: Hub, tmp_path: Path) -> None:
    hub.folder = tmp_path
    with pytest.raises(
        CheckpointError, match=r"org/bert on the Hugging Face Hub is not a model of echodepth: it has no"
    ):
        load_model("org/bert")


def test_a_model_is_published_as_its_folder(hub: Hub, photo: np.ndarray) -> None:
    model = load_model(hub.folder, "cpu")
    assert model.push_to_hub("org/eyes", license="cc-by-sa-4.0") == "https://huggingface.co/org/eyes"
    assert sorted(hub.uploaded) == ["README.md", "config.json", "model.safetensors"]
    head, *_ = hub.uploaded["README.md"].removeprefix("---\n").split("\n---\n")
    assert head.splitlines()[:3] == [
        "library_name: echodepth",
        "pipeline_tag: depth-estimation",
        "license: cc-by-sa-4.0",
    ]
    assert "Weights: cc-by-sa-4.0. Training data: BatVision V2, CC BY-SA 4.0. Code" in hub.uploaded["README.md"]
    assert hub.uploaded["config.json"] == (hub.folder / "config.json").read_text()
    hub.failure = _failure("HfHubHTTPError")
    with pytest.raises(CheckpointError, match=r"org/eyes cannot be published .*401.*: log in with a token"):
        model.push_to_hub("org/eyes")
