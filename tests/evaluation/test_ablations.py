"""``evaluate --ablate``: what each ablation does to the audio and the network, its scores, verdicts and files."""

import json
import logging
from pathlib import Path

import pytest
import soundfile
import torch

from echodepth.core.errors import ConfigError
from echodepth.evaluation.ablations import ABLATIONS, AblationStudy, ablate, without_attention
from echodepth.evaluation.config import ScoringConfig
from echodepth.evaluation.evaluate import evaluate
from echodepth.evaluation.scoring import score_model
from echodepth.metrics.direction import SCORES
from echodepth.models.checkpoint import DepthModel, save_model
from tests.configs import evaluate_config
from tests.tiny import save_tiny, save_tiny_rgb, write_v2


def with_gates(model: DepthModel, value: float) -> DepthModel:
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("gate"):
                parameter.fill_(value)
    return model


def study_of(model: DepthModel) -> AblationStudy:
    return ablate(model, ScoringConfig(), score_model(model, ScoringConfig()))


@pytest.fixture(scope="module")
def ears(tmp_path_factory: pytest.TempPathFactory, v2_root: Path) -> DepthModel:
    folder = tmp_path_factory.mktemp("ablations") / "ears"
    model = with_gates(save_tiny(folder, v2_root), 30.0)
    save_model(model, folder / "best")
    return model


@pytest.fixture(scope="module")
def study(ears: DepthModel) -> AblationStudy:
    return study_of(ears)


def test_what_each_ablation_does_to_the_waveforms() -> None:
    audio = torch.tensor([[[1.0, 2.0, 3.0], [5.0, 6.0, -3.0]]])
    left, right = audio[0]
    expected = {
        "ears_swapped": [right, left],
        "left_ear_only": [left, left],
        "right_ear_only": [right, right],
        "ears_equal": [torch.tensor([3.0, 4.0, 0.0])] * 2,
    }
    for name, ablation in ABLATIONS.items():
        assert (name in expected) == (ablation.audio is not None)
        if ablation.audio is not None:
            torch.testing.assert_close(ablation.audio(audio), torch.stack(expected[name])[None])
    assert audio[0, 0, 0] == 1.0


def test_scores_are_those_of_recordings_that_were_changed_on_disk(
    ears: DepthModel, study: AblationStudy, tmp_path: Path
) -> None:
    """The channels of every WAV file exchanged, or one copied to the other, and nothing else."""
    channels = {"ears_swapped": [1, 0], "left_ear_only": [0, 0], "right_ear_only": [1, 1]}
    rows = {row.name: row for row in study.rows}
    root = write_v2(tmp_path / "v2")
    originals = {path: soundfile.read(path, dtype="int32") for path in root.glob("*/audio/*.wav")}
    scores = set()
    for name, order in channels.items():
        for path, (sound, rate) in originals.items():
            soundfile.write(path, sound[:, order], rate, subtype="PCM_32")
        changed = score_model(ears, ScoringConfig(data_dir=root))
        for score in SCORES:
            assert rows[name].means[score] == pytest.approx(changed.metrics[score], rel=1e-5), (name, score)
        scores.add(round(changed.metrics["rmse"], 9))
    assert len(scores) == 3


def test_attention_off_closes_the_gates_of_a_copy(ears: DepthModel, study: AblationStudy) -> None:
    rows = {row.name: row for row in study.rows}
    assert rows["attention_off"].means["rmse"] != rows["none"].means["rmse"]
    gates = [float(gate.detach()) for name, gate in ears.named_parameters() if name.endswith("gate")]
    assert gates == [30.0, 30.0]
    silent = without_attention(ears)
    assert score_model(silent, ScoringConfig()).metrics["rmse"] == rows["attention_off"].means["rmse"]


def test_closed_gates_have_the_same_scores_without_attention(tmp_path: Path, v2_root: Path) -> None:
    rows = {row.name: row for row in study_of(with_gates(save_tiny(tmp_path / "shut", v2_root), 0.0)).rows}
    assert rows["attention_off"].means == rows["none"].means
    difference = rows["attention_off"].difference
    assert difference is not None
    assert set(difference.means.values()) == {0.0}
    assert difference.verdict() == "not distinguishable in RMSE"


def test_differences_are_to_the_unchanged_model_and_paired(study: AblationStudy) -> None:
    first, *others = study.rows
    assert [row.name for row in study.rows] == ["none", *ABLATIONS, "shuffled_audio", "mean_depth"]
    assert first.difference is None
    assert first.means["rmse"] == pytest.approx(study.evaluation.metrics["rmse"])
    for row in others:
        assert row.difference is not None
        assert row.difference.means["rmse"] == pytest.approx(row.means["rmse"] - first.means["rmse"])
        low, high = row.difference.intervals["rmse"] or (0.0, 0.0)
        assert (low + high) / 2 == pytest.approx(row.difference.means["rmse"])  # Student's interval, of two rooms


def test_a_network_without_attention_has_no_such_row(tmp_path: Path, v2_root: Path) -> None:
    names = [row.name for row in study_of(save_tiny(tmp_path / "unet", v2_root, network="unet_baseline")).rows]
    assert "attention_off" not in names
    assert "ears_swapped" in names


def test_the_command_writes_a_table_and_a_file(
    ears: DepthModel,
    study: AblationStudy,
    v2_root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    save_model(ears, tmp_path / "checkpoints" / "ears" / "best")
    with caplog.at_level(logging.INFO, logger="echodepth"):
        evaluate(evaluate_config("ears", ablate=True, data_dir=v2_root, device="cpu"))
    folder = tmp_path / "results" / "ears"
    assert {path.name for path in folder.iterdir()} == {
        "evaluate_test_valid.json",
        "evaluate_test_valid.csv",
        "ablations.json",
        "ablations.md",
    }
    saved = json.loads((folder / "ablations.json").read_text())
    assert [row["name"] for row in saved["rows"]] == [row.name for row in study.rows]
    assert saved["evaluation"]["protocol"] == "valid"
    assert saved["rows"][1]["difference"]["verdicts"]["rmse"]
    text = (folder / "ablations.md").read_text()
    for heading in (
        "RMSE (m) ↓",
        "ABS REL ↓",
        "δ1 ↑",
        "left-right corr. ↑",
        "up-down corr. ↑",
        "verdict, left-right corr.",
    ):
        assert heading in text
    for row in study.rows[1:]:
        assert row.difference is not None
        assert f"| {row.label} | {row.difference.verdict()} | {row.difference.verdict('left_right')} |" in text
        assert row.label in caplog.text
    assert "paired over rooms" in text


def test_shards_have_no_shuffled_control(ears: DepthModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("echodepth.evaluation.ablations.is_sharded", lambda _: True)
    study = study_of(ears)
    assert "shuffled_audio" not in [row.name for row in study.rows]
    assert study.notes == ["No shuffled-audio control: shards are read sequentially."]
    assert study.notes[0] in study.markdown


def test_ablations_are_refused_for_images_and_beside_a_control(
    ears: DepthModel, tmp_path: Path, v2_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save_tiny_rgb(tmp_path / "checkpoints" / "eyes", v2_root)
    save_tiny(tmp_path / "checkpoints" / "ears", v2_root)
    with pytest.raises(
        ConfigError, match="--ablate: eyes takes images, and the ablations change the audio of its two ears"
    ):
        evaluate(evaluate_config("eyes", ablate=True, device="cpu"))
    with pytest.raises(ConfigError, match="--ablate scores the controls as well: leave --control mean_depth out"):
        evaluate(evaluate_config("ears", ablate=True, control="mean_depth", device="cpu"))
    assert not Path("results").exists()
