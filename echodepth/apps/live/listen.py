"""The loop of ``echodepth listen``: chirp, record, hear depth, show it."""

import logging
import sys
import time
from itertools import count as counted
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from echodepth.apps.live.capture import DIRECT_RMS, Calibration, Capture, capture, known_calibration
from echodepth.apps.live.config import ListenConfig
from echodepth.apps.live.saving import next_number, save_audio
from echodepth.apps.live.sound_card import SoundCard, open_card
from echodepth.apps.live.terminal import depth_lines, scale_line, side_by_side
from echodepth.core.atomic_io import atomic_write
from echodepth.core.device import choose_device
from echodepth.core.errors import ConfigError, DataError, require_at_least
from echodepth.data.audio import AudioCut, cut
from echodepth.inference.runtime import experiment_name, trained_data
from echodepth.models.checkpoint import DepthModel, load_model
from echodepth.report.figures import display_limit

log = logging.getLogger(__name__)


def listen(config: ListenConfig) -> int:
    """Show depth by ear until the count is reached or Ctrl-C is pressed.

    A chirp that goes wrong is told and left out; if it is the first, it is the rig that is wrong, and the run ends.

    Returns:
        How many chirps were heard.

    Raises:
        CheckpointError: there is no such model.
        ConfigError: a flag makes no sense, there is no sound card, or the model takes images.
        DataError: the first chirp, or the calibration, fails.
    """
    require_at_least(0, interval=config.interval)
    require_at_least(8, columns=config.columns)
    if config.count is not None:
        require_at_least(1, count=config.count)
    if config.checkpoint is None and not config.calibrate:
        raise ConfigError("no model is given: name an audio model with --checkpoint, or measure only, with --calibrate")
    # The model first: a wrong name should not make a noise.
    model = None if config.checkpoint is None else _audio_model(config.checkpoint, config.device)
    card = open_card(config)
    calibration = known_calibration(card, config)
    return 0 if model is None else _loop(config, model, card, calibration)


def _audio_model(checkpoint: str, device: str) -> DepthModel:
    model = load_model(checkpoint, choose_device(device)).eval()
    if model.input_key != "audio":
        raise ConfigError(f"{experiment_name(model)} takes images: give --checkpoint an audio model")
    return model


def _loop(config: ListenConfig, model: DepthModel, card: SoundCard, calibration: Calibration | None) -> int:
    screen, heard = _Screen(config.columns), 0
    for number in counted(1) if config.count is None else range(1, config.count + 1):
        began = time.monotonic()
        try:
            recorded = capture(card, config.volume, calibration)
        except DataError as error:
            if not heard:
                raise
            log.warning("chirp %d: %s", number, error)
            continue
        depth = hear_depth(model, recorded, config.match_level)
        heard += 1
        screen.show(depth, card.truth(), _summary(number, depth, recorded), model.max_depth)
        if config.save is not None:
            _save(config.save, recorded, depth)
        if number != config.count:
            time.sleep(max(0.0, config.interval - (time.monotonic() - began)))
    return heard


def hear_depth(model: DepthModel, recorded: Capture, match_level: bool = True) -> Float[np.ndarray, "s s"]:
    """The depth in metres that an audio model hears in a recording.

    Args:
        model: from ``load_model``, in evaluation mode.
        recorded: what the ears heard.
        match_level: bring the direct sound to the loudness of BatVision V2's.

    Raises:
        DataError: the recording is too short for the model.
    """
    data = trained_data(model)
    audio = recorded.audio * np.float32(DIRECT_RMS / recorded.level if match_level else 1.0)
    raw = torch.from_numpy(cut(audio.astype(np.float32), AudioCut(data.audio_start, data.cut_seconds), "the recording"))
    with torch.inference_mode():
        depth = model.predict(raw[None].to(next(model.parameters()).device))[0]
    metres: np.ndarray = depth[0, 0].float().cpu().numpy()
    return metres


def _summary(number: int, depth: Float[np.ndarray, "s s"], recorded: Capture) -> str:
    third = depth.shape[0] // 3
    ahead = float(np.median(depth[third:-third, third:-third]))
    near, far = (float(metres) for metres in np.percentile(depth, (2, 98)))
    return f"chirp {number}: {ahead:.2f} m ahead, {near:.2f} to {far:.2f} m in view, SNR {recorded.snr:.0f} dB"


def _is_terminal() -> bool:
    return sys.stdout.isatty()


class _Screen:
    """The last depth map, drawn over the one before; on what is no terminal, a line of text per chirp."""

    def __init__(self, columns: int) -> None:
        self.columns = columns
        self.is_terminal = _is_terminal()
        self.drawn = 0
        self.limit = 0.0

    def show(
        self, depth: Float[np.ndarray, "s s"], truth: Float[np.ndarray, "t t"] | None, summary: str, max_depth: float
    ) -> None:
        """Draw a depth map, beside the true one where that is known."""
        titles, maps = ["heard"], [depth]
        if truth is not None:
            titles, maps = ["heard", "true"], [depth, truth]
            summary += f", median truth {float(np.median(truth)):.2f} m"
        if not self.is_terminal:
            print(summary, flush=True)
            return
        # The scale only grows, so that a colour keeps its distance while one watches.
        known = np.concatenate([each.ravel() for each in maps])
        self.limit = max(self.limit, display_limit(known, np.isfinite(known), max_depth))
        pictures = [depth_lines(each, self.limit, self.columns) for each in maps]
        lines = [*side_by_side(titles, pictures, self.columns), scale_line(self.limit, self.columns), summary]
        back = f"\x1b[{self.drawn}A" if self.drawn else ""
        print(back + "\n".join(f"\x1b[2K{line}" for line in lines), flush=True)
        self.drawn = len(lines)


def _save(folder: Path, recorded: Capture, depth: Float[np.ndarray, "s s"]) -> None:
    number = next_number(folder, "audio_*.wav")
    save_audio(folder / f"audio_{number}.wav", recorded)
    with atomic_write(folder / f"depth_heard_{number}.npy") as unfinished, unfinished.open("wb") as file:
        np.save(file, depth.astype(np.float32))
