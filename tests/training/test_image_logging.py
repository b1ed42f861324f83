"""Images of a run: their content, and that TensorBoard and W&B receive the same files."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from echodepth.training.image_logging import lag_picture
from tests.training.runs import binaural, rgb, train

pytestmark = pytest.mark.pictures


@pytest.mark.slow
def test_loggers_are_given_the_pictures_of_the_results(v2_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    train(binaural(v2_root, nb_epochs=3, attention_levels=(5,), use_tensorboard=True, use_wandb=True))
    kept = accumulators.EventAccumulator("logs/ears/tensorboard", size_guidance={"images": 0}).Reload()
    assert sorted(kept.Tags()["images"]) == ["val/attention", "val/pictures"]
    media = sorted(Path("logs/ears/wandb").glob("offline-run-*/files/media/images/val/*.png"))
    for name, ending in (("pictures", ""), ("attention", "_attention")):
        events = kept.Images(f"val/{name}")
        files = [Path(f"results/ears/epoch_{epoch:04d}{ending}.png") for epoch in (2, 3)]
        assert [event.step for event in events] == sorted({event.step for event in events})
        for event, path in zip(events, files, strict=True):
            with Image.open(io.BytesIO(event.encoded_image_string)) as logged, Image.open(path) as written:
                np.testing.assert_array_equal(np.asarray(logged), np.asarray(written.convert("RGB")))
        sent = {path.read_bytes() for path in media if path.name.startswith(f"{name}_")}
        assert sent == {path.read_bytes() for path in files}


def test_a_second_training_in_a_process_has_a_run_of_its_own(v2_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    for name in ("first", "second"):
        train(rgb(v2_root, use_wandb=True, experiment_name=name))
        assert wandb.run is None
        assert len(list(Path(f"logs/{name}/wandb").glob("offline-run-*/files/media/images/val/*.png"))) == 1


def test_a_network_without_attention_has_no_picture_of_it(v2_root: Path) -> None:
    train(rgb(v2_root))
    train(binaural(v2_root, attention_levels=()))
    assert sorted(str(path) for path in Path("results").rglob("*.png")) == [
        "results/ears/epoch_0001.png",
        "results/rgb/epoch_0001.png",
    ]


def test_lags_are_drawn_in_milliseconds() -> None:
    """Of 4 columns in 80 ms, one is 20 ms; the ear looks twice as often one column later as it would by chance."""
    weights = torch.tensor([[0.0, 0.0, 0.1, 0.2, 0.4, 0.1, 0.2], [0.1, 0.1, 0.2, 0.2, 0.2, 0.1, 0.1]])
    axis = lag_picture({"x5": weights.double()}, 0.08, "ears").axes[0]
    _, line = axis.lines
    np.testing.assert_allclose(np.asarray(line.get_xdata(), float), [-40, -20, 0, 20, 40])
    np.testing.assert_allclose(np.asarray(line.get_ydata(), float), [0, 0.5, 1, 2, 1], rtol=1e-6)
    assert line.get_label() == "level 5, 20 ms a column"
