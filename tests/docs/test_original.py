"""The original description: its training loop with two changed lines, its feature matching, its flags and defaults."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from echodepth import DataConfig, create_binaural_attention_model, create_rgb_depth_model, tensor_loader
from echodepth.core.flags import flat
from echodepth.training.compose import train_config
from tests.tiny import SECONDS

LOOP = """
# Load teacher model (RGB)
teacher = create_rgb_depth_model(base_channels=64)
teacher.load_state_dict(checkpoint['model_state_dict'])
teacher.eval()

# Create student model (Audio)
student = create_binaural_attention_model(base_channels=64)

for epoch in range(num_epochs):
    for audio, rgb, depth_gt in dataloader:
        # Teacher forward (no gradient)
        with torch.no_grad():
            depth_teacher, feats_teacher = teacher(rgb, return_features=True)

        # Student forward
        depth_student = student(audio)
        feats_student = student.get_features()  # Implement this!

        # Distillation loss
        loss_task = criterion(depth_student, depth_gt)
        loss_kd = kd_criterion(depth_student, depth_teacher)
        loss_feat = feature_distillation_loss(feats_student, feats_teacher)

        total_loss = loss_task + lambda_kd * loss_kd + lambda_feat * loss_feat
        total_loss.backward()
        optimizer.step()
"""
CHANGED = {
    "depth_student = student(audio)": "depth_student, feats_student = student(audio, return_features=True)",
    "feats_student = student.get_features()  # Implement this!": "optimizer.zero_grad()",
}
MATCHING = """
# RGB Teacher
depth_rgb, feats_rgb = teacher(rgb, return_features=True)
# Audio Student (after implementing feature extraction)
depth_audio, feats_audio = student(audio, return_features=True)
# Match features level-by-level
for level in ['x1', 'x2', 'x3', 'x4', 'x5']:
    loss_feat += F.mse_loss(feats_audio[level], feats_rgb[level])
"""
LEVELS = ("x1", "x2", "x3", "x4", "x5")


def masked_l1(prediction: Tensor, depth: Tensor) -> Tensor:
    return (prediction - depth)[depth > 0].abs().mean()


def match(student: dict[str, Tensor], teacher: dict[str, Tensor]) -> Tensor:
    return torch.stack([F.mse_loss(student[level], teacher[level]) for level in LEVELS]).sum()


class Networks:
    """The two factories at a small size, and the optimiser, which the loop expects for a student that it makes."""

    def __init__(self) -> None:
        self.optimizer = torch.optim.SGD([torch.zeros(1)])
        self.losses: list[float] = []

    def teacher(self, base_channels: int) -> nn.Module:
        assert base_channels == 64
        return create_rgb_depth_model(base_channels=4, output_size=None)

    def student(self, base_channels: int) -> nn.Module:
        assert base_channels == 64
        student = create_binaural_attention_model(base_channels=4, output_size=None)
        self.optimizer.param_groups.clear()
        self.optimizer.add_param_group({"params": list(student.parameters()), "lr": 0.02})
        return student

    def criterion(self, prediction: Tensor, depth: Tensor) -> Tensor:
        assert prediction.shape == depth.shape
        loss = masked_l1(prediction, depth)
        self.losses.append(loss.item())
        return loss


def test_the_loop_runs_with_two_changed_lines(v2_root: Path) -> None:
    """Its student had no features to give, its loader had to be written, and gradients were never reset."""
    loop = LOOP
    for line, replacement in CHANGED.items():
        assert loop.count(line) == 1
        loop = loop.replace(line, replacement)
    assert sum(old != new for old, new in zip(LOOP.splitlines(), loop.splitlines(), strict=True)) == 2
    torch.manual_seed(0)
    small, trained = Networks(), create_rgb_depth_model(base_channels=4)
    config = DataConfig(data_dir=str(v2_root), image_size=48, audio_seconds=SECONDS)
    names: dict[str, Any] = {
        "torch": torch,
        "F": F,
        "create_rgb_depth_model": small.teacher,
        "create_binaural_attention_model": small.student,
        "checkpoint": {"model_state_dict": trained.state_dict()},
        "dataloader": tensor_loader(config, batch_size=3),
        "num_epochs": 6,
        "optimizer": small.optimizer,
        "criterion": small.criterion,
        "kd_criterion": nn.L1Loss(),
        "feature_distillation_loss": match,
        "lambda_kd": 0.1,
        "lambda_feat": 0.1,
    }
    exec(loop, names)
    assert len(small.losses) == 6 * 2
    assert sum(small.losses[-2:]) < 0.9 * sum(small.losses[:2])
    for name, weight in names["teacher"].state_dict().items():
        assert torch.equal(weight, trained.state_dict()[name])
    names["loss_feat"] = torch.zeros(())
    exec(MATCHING, names)
    assert names["depth_audio"].shape == names["depth_rgb"].shape == names["rgb"][:, :1].shape
    assert names["loss_feat"].item() == pytest.approx(match(names["feats_audio"], names["feats_rgb"]).item())


def test_another_epoch_has_another_order_and_validation_none(v2_root: Path) -> None:
    config = DataConfig(data_dir=v2_root, image_size=16, audio_seconds=SECONDS)
    loader = tensor_loader(config, batch_size=6)
    (first,), (second,), (again,) = list(loader), list(loader), list(tensor_loader(config, batch_size=6))
    assert [each.shape for each in first] == [(6, 2, 16, 16), (6, 3, 16, 16), (6, 1, 16, 16)]
    assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))
    assert not torch.equal(first[2], second[2])
    assert torch.equal(first[2].sort(0).values, second[2].sort(0).values)  # the same frames
    validation = tensor_loader(config, "val", 4)
    assert torch.equal(next(iter(validation))[2], next(iter(validation))[2])


def test_flags_have_the_original_defaults() -> None:
    config = flat(train_config("rgb"))
    expected = {
        **{"dataset": "batvisionv2", "batch_size": 64, "base_channels": 64, "bilinear": True},
        **{"lambda_l1": 1.0, "lambda_smooth": 0.1, "learning_rate": 0.0001, "nb_epochs": 200, "optimizer": "AdamW"},
        **{"weight_decay": 0.01, "scheduler": "cosine", "checkpoints": None, "save_frequency": 2, "use_wandb": False},
    }
    assert {name: config[name] for name in expected} == expected
    assert {"num_workers", "wandb_project", "experiment_name"} <= config.keys()
