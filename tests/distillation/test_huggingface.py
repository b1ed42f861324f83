"""Depth models of Hugging Face as teachers: equal to a direct call, never trained, and clear errors when missing."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load, save_file
from transformers import AutoModelForDepthEstimation, GLPNConfig, GLPNForDepthEstimation

from echodepth.core.errors import CheckpointError, ConfigError
from echodepth.data.sample import Sample
from echodepth.distillation.teachers.huggingface import HuggingFaceTeacher, Preprocessing
from echodepth.distillation.teachers.loading import load_teacher
from echodepth.training.distillation_task import DistillationTask
from tests.tiny import PREPROCESSOR, save_tiny_hf
from tests.training.runs import curve, distil, train

DEPTH_ALONE: dict[str, Any] = {"lambda_feat": 0.0, "teacher_depth": "metric"}  # untrained, it contradicts the truth


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(("kind", "depth_kind"), [("metric", "up_to_scale"), ("relative", "affine_inverse")])
def test_predictions_equal_a_direct_call_of_the_model(kind: str, depth_kind: str) -> None:
    teacher = load_teacher(f"hf:{save_tiny_hf(Path('tiny'), kind)}")
    image = torch.rand(2, 3, 32, 32)
    predicted = teacher.predict(Sample(image=image))
    mean, std = (torch.tensor(PREPROCESSOR[f"image_{name}"]).view(3, 1, 1) for name in ("mean", "std"))
    small = F.interpolate(image, (28, 28), mode="bicubic", antialias=True).clamp(0, 1)
    with torch.no_grad():
        by_hand = AutoModelForDepthEstimation.from_pretrained("tiny")(pixel_values=(small - mean) / std).predicted_depth
    assert by_hand.shape == (2, 28, 28)
    assert by_hand.std() > 0
    large = F.interpolate(by_hand[:, None], (32, 32), mode="bilinear", antialias=True)
    assert torch.allclose(predicted.depth, large, atol=1e-6)
    assert not predicted.depth.requires_grad
    assert (teacher.depth_kind, predicted.features, teacher.feature_channels()) == (depth_kind, {}, {})
    assert predicted.uncertainty is None


def test_images_are_resized_as_by_pillow() -> None:
    """Hugging Face's image processors use Pillow; their batched versions need torchvision."""
    photo = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    small = np.asarray(Image.fromarray(photo).resize((14, 14), Image.Resampling.BICUBIC), dtype=np.float32) / 255
    plain = {**PREPROCESSOR, "do_normalize": False, "size": {"height": 14, "width": 14}}
    ours = Preprocessing.read(plain)(torch.from_numpy(photo).permute(2, 0, 1)[None] / 255)
    assert torch.allclose(ours[0].permute(1, 2, 0), torch.from_numpy(small), atol=1.01 / 255)


def test_sides_become_multiples_and_colours_are_normalised() -> None:
    grey = torch.full((1, 3, 32, 32), 0.5)
    assert Preprocessing.read({**PREPROCESSOR, "size": 30})(grey).shape == (1, 3, 28, 28)
    kept = Preprocessing.read({**PREPROCESSOR, "do_resize": False, "ensure_multiple_of": 1})(grey)
    assert kept.shape == grey.shape
    assert kept[0, :, 0, 0].tolist() == pytest.approx([0.015 / 0.229, 0.044 / 0.224, 0.094 / 0.225])


def test_bytes_times_a_factor_reach_the_model_as_in_transformers() -> None:
    """A model with do_rescale false takes 0..255: it was given 0..1, a black image."""
    grey, plain = torch.full((1, 3, 28, 28), 0.5), {**PREPROCESSOR, "do_normalize": False}

    def reached(**settings: Any) -> float:
        return float(Preprocessing.read({**plain, **settings})(grey).mean())

    assert reached() == pytest.approx(0.5)
    assert reached(do_rescale=False) == pytest.approx(127.5)
    assert reached(do_rescale=True, rescale_factor=1 / 127.5) == pytest.approx(1.0)
    bytes_alone = Preprocessing.read(
        {**PREPROCESSOR, "do_rescale": False, "image_mean": [127.5] * 3, "image_std": [2] * 3}
    )
    assert bytes_alone(torch.ones(1, 3, 28, 28)).mean() == pytest.approx(63.75)


@pytest.mark.parametrize(
    ("settings", "size"),
    [
        ({"size": 42}, (42, 42)),
        ({"size": [42, 56], "keep_aspect_ratio": False}, (42, 56)),
        ({"size": {"height": 42, "width": 56}, "keep_aspect_ratio": False}, (42, 56)),
        ({"size": {"height": 42, "width": 56}, "keep_aspect_ratio": True}, (42, 42)),
        ({"size": {"height": 14, "width": 28}, "keep_aspect_ratio": True}, (28, 28)),
        ({"size": {"shortest_edge": 42}}, (42, 42)),
        ({"do_resize": False}, (70, 70)),
        ({"do_resize": False, "own": None}, (32, 32)),
    ],
)
def test_images_get_the_models_size(settings: dict[str, Any], size: tuple[int, int]) -> None:
    """transformers changes the side that needs the smaller factor, and leaves the other to the aspect ratio."""
    read = Preprocessing.read({**PREPROCESSOR, **settings}, settings.get("own", 70))
    assert tuple(read(torch.rand(1, 3, 32, 32)).shape[-2:]) == size


def test_a_model_without_resizing_gets_images_of_its_own_size() -> None:
    folder = save_tiny_hf(Path("tiny"))
    (folder / "preprocessor_config.json").write_text(json.dumps({**PREPROCESSOR, "do_resize": False}))
    teacher = HuggingFaceTeacher.load("tiny")
    assert teacher.preprocess.size == (28, 28)
    assert teacher.predict(Sample(image=torch.rand(1, 3, 32, 32))).depth.shape == (1, 1, 32, 32)


@pytest.mark.parametrize("step", ["do_pad", "do_center_crop", "do_flip_channel_order"])
def test_an_unknown_step_of_preprocessing_is_refused(step: str) -> None:
    folder = save_tiny_hf(Path("tiny"))
    (folder / "preprocessor_config.json").write_text(json.dumps({**PREPROCESSOR, step: True}))
    with pytest.raises(
        CheckpointError, match=f"hf:tiny cannot be loaded: .* asks for {step}: True, a step that is not"
    ):
        load_teacher("hf:tiny")


def test_a_student_learns_from_it_and_its_files_stay_unchanged(v2_root: Path) -> None:
    folder = save_tiny_hf(Path("tiny"))
    before = bytes_of(folder)
    student = train(distil(v2_root, teacher="hf:tiny", nb_epochs=2, **DEPTH_ALONE))
    assert bytes_of(folder) == before
    assert student.run.teacher == "hf:tiny"
    assert [float(row["train/kd"]) > 0 for row in curve("taught")] == [True, True]
    checkpoint = torch.load("checkpoints/taught/epoch_0002.pth", weights_only=True)
    assert not any("teacher" in name for name in checkpoint["state_dict"])
    facts = json.loads(Path("logs/taught/config.json").read_text())["facts"]["teacher"]
    assert facts["depth_kind"] == "up_to_scale"
    assert facts["alignment"]["fit"] == "scale"
    assert facts["alignment"]["scale"] > 0


def test_training_leaves_its_weights_bit_equal(v2_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_tiny_hf(Path("tiny"))
    teachers: list[HuggingFaceTeacher] = []
    load = HuggingFaceTeacher.load

    def loaded(name: str) -> HuggingFaceTeacher:
        teachers.append(load(name))
        return teachers[-1]

    monkeypatch.setattr(HuggingFaceTeacher, "load", loaded)
    train(distil(v2_root, teacher="hf:tiny", ema_decay=0.9, precision="bf16-mixed", **DEPTH_ALONE))
    (teacher,) = teachers
    saved, weights = load("tiny").model.state_dict(), teacher.model.state_dict()
    assert saved.keys() == weights.keys()
    assert all(torch.equal(saved[name], tensor) for name, tensor in weights.items())
    assert all(p.grad is None and not p.requires_grad for p in teacher.model.parameters())
    assert not teacher.model.training


def test_losses_that_need_features_are_refused_by_their_flags(v2_root: Path) -> None:
    save_tiny_hf(Path("tiny"))
    with pytest.raises(
        ConfigError, match=r"hf:tiny predicts depth, but no features.*: give --lambda_feat 0 --lambda_contrast 0$"
    ):
        train(distil(v2_root, teacher="hf:tiny", lambda_contrast=0.1))
    assert [path.name for path in Path().iterdir()] == ["tiny"]


def test_without_transformers_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ConfigError, match=r"--teacher hf:a/b needs transformers: pip install 'echodepth\[teachers\]' "):
        load_teacher("hf:a/b")


@pytest.mark.usefixtures("offline")
def test_a_model_that_cannot_be_loaded_is_named_with_the_remedy() -> None:
    with pytest.raises(
        CheckpointError, match=r"--teacher hf:nobody/nothing cannot be loaded: .*`hf download nobody/not"
    ):
        load_teacher("hf:nobody/nothing")


def test_incomplete_or_unreadable_weights_are_refused() -> None:
    folder = save_tiny_hf(Path("tiny"))
    # From its bytes: load_file may map the file, which is overwritten below.
    weights = load((folder / "model.safetensors").read_bytes())
    lost = "head.conv3.weight"
    save_file({k: v for k, v in weights.items() if k != lost}, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError, match=rf"hf:tiny has missing weights.*\({lost}, 1 in total\)"):
        load_teacher("hf:tiny")
    save_file({**weights, lost: torch.ones(1, 7, 1, 1)}, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError, match="hf:tiny"):
        load_teacher("hf:tiny")
    (folder / "model.safetensors").write_bytes(b"cut short")
    with pytest.raises(CheckpointError, match="hf:tiny cannot be loaded"):
        load_teacher("hf:tiny")
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="hf:tiny cannot be loaded"):
        load_teacher("hf:tiny")


def test_a_missing_preprocessor_config_is_named() -> None:
    folder = save_tiny_hf(Path("tiny"))
    (folder / "preprocessor_config.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"hf:tiny cannot be loaded: .*size"):
        load_teacher("hf:tiny")
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(CheckpointError, match=r"preprocessor_config\.json"):
        load_teacher("hf:tiny")


def test_another_family_is_refused() -> None:
    sizes = {"depths": [1, 1, 1, 1], "hidden_sizes": [8, 8, 8, 8], "decoder_hidden_size": 8}
    GLPNForDepthEstimation(GLPNConfig(**sizes, num_attention_heads=[1, 1, 1, 1])).save_pretrained("other")
    Path("other/preprocessor_config.json").write_text(json.dumps(PREPROCESSOR))
    with pytest.raises(ConfigError, match=r"--teacher is a glpn model.*depth_anything or dpt"):
        load_teacher("hf:other")


def test_the_fingerprint_depends_on_weights_and_preprocessing() -> None:
    first = load_teacher(f"hf:{save_tiny_hf(Path('tiny'))}")
    again = load_teacher("hf:tiny")
    assert first.fingerprint == again.fingerprint
    with torch.no_grad():
        next(again.model.parameters()).flatten()[0] += 1e-3
    del again.__dict__["fingerprint"]
    Path("tiny/preprocessor_config.json").write_text(json.dumps({**PREPROCESSOR, "size": 14}))
    others = {first.fingerprint, again.fingerprint, load_teacher("hf:tiny").fingerprint}
    assert len(others) == 3


def test_the_task_has_none_of_its_parameters(v2_root: Path) -> None:
    from echodepth.models.checkpoint import DepthModel
    from echodepth.training import train

    teacher = load_teacher(f"hf:{save_tiny_hf(Path('tiny'))}")
    config = distil(v2_root, teacher="hf:tiny", **DEPTH_ALONE)
    task = DistillationTask(DepthModel(train.model_spec(config)), teacher, config)
    assert not {id(p) for p in task.parameters()} & {id(p) for p in teacher.model.parameters()}
