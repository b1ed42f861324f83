"""``echodepth listen``: play a chirp, record it, predict depth and show it, in a loop."""

import logging
import sys
import time
from itertools import count
from pathlib import Path

import numpy as np
from jaxtyping import Float

from echodepth.apps.live.capture import DIRECT_RMS, Capture, CardCalibration, capture, load_calibration, next_number
from echodepth.apps.live.config import ListenConfig
from echodepth.apps.live.sound_card import SoundCard, open_card
from echodepth.apps.live.terminal import depth_lines, scale_line, side_by_side
from echodepth.core.atomic_io import atomic_write
from echodepth.core.constants import SAMPLE_RATE
from echodepth.core.errors import ConfigError, DataError, require_at_least
from echodepth.core.field_of_view import BATVISION_V2, FieldOfView
from echodepth.inference.predictor import Predictor, load_model
from echodepth.report.figures import display_limit

log = logging.getLogger(__name__)


def listen(config: ListenConfig) -> int:
    """Show predicted depth until the count is reached or Ctrl-C is pressed.

    A chirp that fails is reported and skipped. If the first one fails, the set-up is at fault and the run ends.

    Returns:
        The number of chirps that were recorded.

    Raises:
        CheckpointError: the model does not exist.
        ConfigError: a flag is out of range, there is no sound card, or the model takes images.
        DataError: the first chirp or the calibration fails.
    """
    require_at_least(0, interval=config.interval)
    require_at_least(8, columns=config.columns)
    if config.count is not None:
        require_at_least(1, count=config.count)
    # The model is loaded first, so that a wrong name is reported before a chirp is played.
    only_measured = config.calibrate and config.checkpoint is None
    predictor = None if only_measured else _audio_predictor(config)
    card = open_card(config)
    calibration = load_calibration(card, config)
    return 0 if predictor is None else _loop(config, predictor, card, calibration)


def _audio_predictor(config: ListenConfig) -> Predictor:
    predictor = load_model(
        config.checkpoint,
        config.device,
        compile="latency",
        mirror_average=config.mirror_average,
        trust_code=config.trust_code,
    )
    if predictor.backend.input_key != "audio":
        raise ConfigError(f"{predictor.name} takes images: give --checkpoint an audio model")
    return predictor


def _loop(config: ListenConfig, predictor: Predictor, card: SoundCard, calibration: CardCalibration | None) -> int:
    display, recorded = _DepthDisplay(config.columns, predictor.field_of_view or BATVISION_V2), 0
    for number in count(1) if config.count is None else range(1, config.count + 1):
        started = time.monotonic()
        try:
            captured = capture(card, config.volume, calibration)
        except DataError as error:
            if not recorded:
                raise
            log.warning("chirp %d: %s", number, error)
            continue
        depth = predict_depth(predictor, captured, config.match_level)
        recorded += 1
        summary = _summary(number, depth, captured)
        display.show(depth, card.ground_truth(), summary, predictor.backend.max_depth)
        if config.save is not None:
            _save(config.save, captured, depth)
        if number != config.count:
            time.sleep(max(0.0, config.interval - (time.monotonic() - started)))
    return recorded


def predict_depth(predictor: Predictor, captured: Capture, match_level: bool = True) -> Float[np.ndarray, "s s"]:
    """Predict depth in metres from one recording.

    Args:
        predictor: an audio model.
        captured: the recording.
        match_level: scale the recording so that its direct sound has the level of BatVision V2's.

    Raises:
        DataError: the recording is too short for the model.
    """
    audio = captured.audio * np.float32(DIRECT_RMS / captured.level if match_level else 1.0)
    return predictor.infer(audio.astype(np.float32), SAMPLE_RATE).depth


def _summary(number: int, depth: Float[np.ndarray, "s s"], captured: Capture) -> str:
    third = depth.shape[0] // 3
    ahead = float(np.median(depth[third:-third, third:-third]))
    near, far = (float(metres) for metres in np.percentile(depth, (2, 98)))
    return f"chirp {number}: {ahead:.2f} m ahead, {near:.2f} to {far:.2f} m in view, SNR {captured.snr:.0f} dB"


def _is_terminal() -> bool:
    return sys.stdout.isatty()


class _DepthDisplay:
    """Draws each depth map over the previous one; if the output is not a terminal, prints one line per chirp."""

    def __init__(self, columns: int, camera: FieldOfView) -> None:
        self.columns, self.camera = columns, camera
        self.is_terminal = _is_terminal()
        self.drawn_lines = 0
        self.limit = 0.0

    def show(
        self,
        depth: Float[np.ndarray, "s s"],
        ground_truth: Float[np.ndarray, "t t"] | None,
        summary: str,
        max_depth: float,
    ) -> None:
        """Draw a predicted depth map, beside the ground truth if it is known."""
        titles, maps = ["prediction"], [depth]
        if ground_truth is not None:
            titles, maps = ["prediction", "ground truth"], [depth, ground_truth]
            summary += f", median ground truth {float(np.median(ground_truth)):.2f} m"
        if not self.is_terminal:
            print(summary, flush=True)
            return
        # The scale only grows, so that a colour keeps its distance over time.
        values = np.concatenate([each.ravel() for each in maps])
        self.limit = max(self.limit, display_limit(values, np.isfinite(values), max_depth))
        drawings = [depth_lines(each, self.limit, self.columns, self.camera) for each in maps]
        lines = [*side_by_side(titles, drawings, self.columns), scale_line(self.limit, self.columns), summary]
        cursor_up = f"\x1b[{self.drawn_lines}A" if self.drawn_lines else ""
        print(cursor_up + "\n".join(f"\x1b[2K{line}" for line in lines), flush=True)
        self.drawn_lines = len(lines)


def _save(folder: Path, captured: Capture, depth: Float[np.ndarray, "s s"]) -> None:
    number = next_number(folder)
    captured.save(folder / f"audio_{number}.wav")
    with atomic_write(folder / f"depth_predicted_{number}.npy") as unfinished, unfinished.open("wb") as file:
        np.save(file, depth.astype(np.float32))
