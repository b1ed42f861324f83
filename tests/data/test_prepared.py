"""Prepared splits: as good as the files, found by their settings, never believed once a file has changed."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from echodepth.core.errors import ConfigError
from echodepth.core.flags import build
from echodepth.data.augmentation import flip_left_right
from echodepth.data.cache import prepared
from echodepth.data.cache.prepared import AudioCacheFormat, open_prepared, prepared_folder, write_prepared
from echodepth.data.config import DataConfig
from echodepth.data.dataset import open_dataset
from echodepth.data.label_subset import LabelSubset
from echodepth.data.records import ALL_MODALITIES, Modality
from echodepth.models.frontends.echo import EchoFrontEnd
from echodepth.training.compose import Choices, prepare_class, train_config
from echodepth.training.prepare import prepare
from echodepth.training.train import train
from tests.roots import v1, v2, write_rgbd_root, write_v1_root, write_v2_root

FRONT_END = EchoFrontEnd(32, "log", binaural_cues=True)
HEARD = AudioCacheFormat(FRONT_END.settings, FRONT_END)


@pytest.fixture(autouse=True)
def in_empty_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECHODEPTH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def prepared_and_read(config: DataConfig, modalities: tuple[Modality, ...] = ALL_MODALITIES) -> list[tuple[Any, Any]]:
    write_prepared(config, "train", AudioCacheFormat())
    kept, files = (
        open_prepared(config, "train", modalities, AudioCacheFormat()),
        open_dataset(config, "train", modalities),
    )
    assert kept is not None
    assert [record.name for record in kept.records] == [record.name for record in files.records]
    return [(kept[row], files[row]) for row in range(len(files))]


@pytest.mark.parametrize("labels", [LabelSubset(), LabelSubset(0.5, 1, keep_rest=True)])
def test_a_batch_that_is_gathered_at_once_is_the_batch_of_its_samples(tmp_path: Path, labels: LabelSubset) -> None:
    config = v2(write_v2_root(tmp_path / "v2"))
    write_prepared(config, "train", AudioCacheFormat())
    kept, files = (
        open_prepared(config, "train", ALL_MODALITIES, AudioCacheFormat(), labels),
        open_dataset(config, "train", labels=labels),
    )
    assert kept is not None
    batches: list[Any] = [each.batch([2, 0, 3, 1]) for each in (kept, files)]
    assert batches[0].keys() == batches[1].keys()
    assert all(equal(batches[0][key], batches[1][key]) for key in batches[1])
    known = [kept.depth_is_known(kept.records[row]) for row in (2, 0, 3, 1)]
    assert batches[0]["valid"].flatten(1).any(1).tolist() == known


def equal(first: Any, second: Any) -> bool:
    return bool(torch.equal(first, second)) if isinstance(first, Tensor) else bool(first == second)


@pytest.mark.parametrize("max_depth", [10.0, 2.5])
def test_batvision_v2_comes_back_bit_equal_also_where_it_is_clipped(tmp_path: Path, max_depth: float) -> None:
    for kept, read in prepared_and_read(v2(write_v2_root(tmp_path / "v2"), max_depth=max_depth)):
        assert kept.keys() == read.keys()
        assert all(equal(kept[key], read[key]) for key in read)
        assert 0 < read["valid"].sum() < read["valid"].numel()


def test_a_depth_picture_comes_back_bit_equal_in_its_own_units(tmp_path: Path) -> None:
    config = DataConfig("rgbd", write_rgbd_root(tmp_path / "rgbd"), 32)
    for kept, read in prepared_and_read(config, ("image", "depth")):
        assert all(equal(kept[key], read[key]) for key in read)


def test_v1s_fractions_of_millimetres_are_rounded_and_the_rest_is_equal(tmp_path: Path) -> None:
    for kept, read in prepared_and_read(v1(write_v1_root(tmp_path / "v1"))):
        assert all(equal(kept[key], read[key]) for key in read if key != "depth")
        assert (kept["depth"] - read["depth"]).abs().max() <= 0.0005001


def test_spectrograms_are_those_of_the_front_end_and_mirrored_like_the_waveforms(tmp_path: Path) -> None:
    config = v2(write_v2_root(tmp_path / "v2"))
    write_prepared(config, "train", HEARD)
    kept, files = open_prepared(config, "train", ("audio",), HEARD), open_dataset(config, "train", ("audio",))
    assert kept is not None
    for row in range(len(files)):
        batch, waveform = {"spectrogram": kept[row]["spectrogram"][None]}, {"audio": files[row]["audio"][None]}
        assert "audio" not in kept[row]
        # Half precision has 11 bits: values up to 1 are off by half of 2^-11 at most.
        torch.testing.assert_close(batch["spectrogram"], FRONT_END(waveform["audio"]), atol=2**-12, rtol=2**-11)
        mirrored = [flip_left_right(each, torch.tensor([True])) for each in (batch, waveform)]  # type: ignore[arg-type]
        heard = FRONT_END(mirrored[1]["audio"])
        torch.testing.assert_close(mirrored[0]["spectrogram"], heard, atol=2**-11, rtol=2**-11)


def test_another_form_of_sound_is_added_beside_and_what_is_there_stays(tmp_path: Path) -> None:
    config = v2(write_v2_root(tmp_path / "v2"))
    folder = write_prepared(config, "train", AudioCacheFormat())
    before = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.npy")}
    assert open_prepared(config, "train", ALL_MODALITIES, HEARD) is None
    assert write_prepared(config, "train", HEARD) == folder
    assert write_prepared(config, "train", HEARD) == folder
    after = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.npy")}
    assert sorted(before) == ["audio.npy", "depth.npy", "depth_exact.npy", "image.npy"]
    assert before.items() <= after.items()
    assert len(after) == 5
    # Images and depth serve whoever asks, whatever form of sound lies beside them.
    assert open_prepared(config, "train", ("image", "depth"), AudioCacheFormat({"never": "made"})) is not None


def test_other_settings_lie_elsewhere(tmp_path: Path) -> None:
    config = v2(write_v2_root(tmp_path / "v2"))
    others = [replace(config, **change) for change in ({"image_size": 16}, {"max_depth": 5.0}, {"audio_start": "zero"})]
    folders = {prepared_folder(each, split) for each in (config, *others) for split in ("train", "val")}
    assert len(folders) == 8
    # The depth limit by default and by name is the same limit.
    assert prepared_folder(replace(config, max_depth=None), "val") == prepared_folder(
        replace(config, max_depth=30.0), "val"
    )


def test_a_changed_file_makes_the_split_stale_and_preparing_mends_it(tmp_path: Path) -> None:
    root = write_v2_root(tmp_path / "v2")
    config = v2(root)
    write_prepared(config, "train", AudioCacheFormat())
    picture = root / "Attic" / "camera" / "camera_1.jpeg"
    os.utime(picture, ns=(0, 0))
    assert open_prepared(config, "train", ALL_MODALITIES, AudioCacheFormat()) is None
    write_prepared(config, "train", AudioCacheFormat())
    assert open_prepared(config, "train", ALL_MODALITIES, AudioCacheFormat()) is not None
    picture.unlink()
    assert open_prepared(config, "train", ALL_MODALITIES, AudioCacheFormat()) is None


def test_files_of_a_split_that_was_never_prepared_are_not_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training once stamped all files of both splits for each form of audio, also where nothing was prepared."""
    config = v2(write_v2_root(tmp_path / "v2"))

    def refuse(*_: Any) -> None:
        raise AssertionError("the split was listed")

    with monkeypatch.context() as patch:
        patch.setattr(prepared, "list_split", refuse)
        assert open_prepared(config, "train", ALL_MODALITIES, AudioCacheFormat()) is None
    write_prepared(config, "train", AudioCacheFormat())
    with monkeypatch.context() as patch:
        patch.setattr(prepared, "list_split", refuse)
        assert open_prepared(config, "train", ALL_MODALITIES, HEARD) is None
        with pytest.raises(AssertionError):
            open_prepared(config, "train", ALL_MODALITIES, AudioCacheFormat())


def test_arrays_that_no_index_names_are_not_believed(tmp_path: Path) -> None:
    # As an interruption leaves them: full of zeros, which would say that nothing was measured.
    config = v2(write_v2_root(tmp_path / "v2"))
    (write_prepared(config, "train", AudioCacheFormat()) / "index.json").unlink()
    assert open_prepared(config, "train", ALL_MODALITIES, AudioCacheFormat()) is None
    assert prepared_and_read(config)[0][0]["valid"].any()


def test_a_bad_row_is_left_out_of_every_form_and_stays_known(tmp_path: Path) -> None:
    root = write_v2_root(tmp_path / "v2")
    (root / "Attic" / "depth" / "depth_0.npy").write_bytes(b"broken")
    config = v2(root, skip_bad=True)
    # The sound of the bad row is whole: added later, it would move all others by one.
    write_prepared(config, "train", AudioCacheFormat())
    write_prepared(config, "train", HEARD)
    kept, files = open_prepared(config, "train", ALL_MODALITIES, HEARD), open_dataset(config, "train")
    assert kept is not None
    assert kept.bad_rows == files.bad_rows
    assert len(kept) == len(files) == 3
    for row in range(3):
        expected = FRONT_END(files[row]["audio"][None])[0]
        torch.testing.assert_close(kept[row]["spectrogram"], expected, atol=2**-11, rtol=2**-11)


def test_depth_that_is_taken_as_unknown_is_not_handed_out(tmp_path: Path) -> None:
    config = v2(write_v2_root(tmp_path / "v2"))
    write_prepared(config, "train", AudioCacheFormat())
    labels = LabelSubset(0.5, 0, keep_rest=True)
    kept = open_prepared(config, "train", ALL_MODALITIES, AudioCacheFormat(), labels)
    files = open_dataset(config, "train", labels=labels)
    assert kept is not None
    known = [bool(kept[row]["valid"].any()) for row in range(len(kept))]
    assert known == [bool(files[row]["valid"].any()) for row in range(len(files))]
    assert sorted(known) == [False, False, True, True]


def test_depth_beyond_sixteen_bits_is_refused(tmp_path: Path) -> None:
    config = v2(write_v2_root(tmp_path / "v2"), max_depth=66.0)
    with pytest.raises(ConfigError, match=r"--max_depth 66: prepared depth has 16 bits, up to 65.535 m for this"):
        write_prepared(config, "train", AudioCacheFormat())


@pytest.mark.slow
def test_a_run_on_prepared_waveforms_ends_bit_equal_to_one_on_the_files(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = write_v2_root(tmp_path / "v2")
    flags: dict[str, Any] = {"data_dir": root, "image_size": 32, "base_channels": 4, "batch_size": 2, "nb_epochs": 2}
    flags |= {"num_workers": 0, "device": "cpu", "attention_levels": (5,), "max_depth": 10.0}
    train(train_config("binaural", experiment_name="files", **flags))
    prepare(build(prepare_class(Choices()), {"data_dir": root, "image_size": 32, "max_depth": 10.0, "workers": 1}))
    with caplog.at_level("INFO", logger="echodepth"):
        train(train_config("binaural", experiment_name="prepared", **flags))
    assert {"train: prepared audio", "val: prepared audio"} <= {*caplog.messages}
    ends = [
        torch.load(f"checkpoints/{name}/epoch_0002.pth", weights_only=True)["model_state_dict"]
        for name in ("files", "prepared")
    ]
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


@pytest.mark.slow
def test_a_run_finds_prepared_spectrograms_of_its_own_front_end_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = write_v2_root(tmp_path / "v2")
    shared: dict[str, Any] = {"data_dir": root, "image_size": 32, "max_depth": 10.0}
    prepare(build(prepare_class(Choices()), shared | {"sound": "spectrogram", "binaural_cues": True, "workers": 2}))
    flags = shared | {"base_channels": 2, "batch_size": 2, "nb_epochs": 1, "num_workers": 0, "device": "cpu"}
    for run, cues, said in (("same", True, True), ("other", False, False)):
        caplog.clear()
        with caplog.at_level("INFO", logger="echodepth"):
            train(train_config("binaural", experiment_name=run, **flags, attention_levels=(), binaural_cues=cues))
        assert any("prepared spectrogram" in message for message in caplog.messages) == said


@pytest.mark.slow
def test_workers_that_were_begun_elsewhere_follow_to_this_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """joblib keeps its workers: a second folder's files were once looked for in the first."""
    for place in ("first", "second"):
        write_v2_root(tmp_path / place / f"rooms_{place}")
        monkeypatch.chdir(tmp_path / place)
        config = v2(Path(f"rooms_{place}"))
        write_prepared(config, "train", AudioCacheFormat(), workers=2)
        assert open_prepared(config, "train", ALL_MODALITIES, AudioCacheFormat()) is not None
