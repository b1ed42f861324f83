"""The interface to a loudspeaker and two microphones, and its implementation for real sound cards."""

import sys
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from echodepth.apps.live.config import CardConfig
from echodepth.core.constants import SAMPLE_RATE
from echodepth.core.errors import ConfigError

WITHOUT_HARDWARE = "or try it in simulated rooms: --card simulated"


@runtime_checkable
class SoundCard(Protocol):
    """Plays a signal while it records both ears."""

    @property
    def name(self) -> str:
        """Name for messages and for the calibration file."""

    def play_and_record(self, signal: Float[np.ndarray, " n"], frames: int) -> Float[np.ndarray, "2 t"]:
        """Start to record and to play at the same time.

        Args:
            signal: waveform to play, full scale 1, at 44.1 kHz.
            frames: length of the recording, in samples.

        Returns:
            The recording, full scale 1, left ear first; ``t`` equals ``frames``.
        """

    def ground_truth(self) -> Float[np.ndarray, "s s"] | None:
        """Depth in metres at the pose of the last recording; None if it is unknown, as in real rooms."""


def open_card(config: CardConfig) -> SoundCard:
    """Open the sound card that the flags name.

    Raises:
        ConfigError: a package or a device is missing, or the input device has fewer than two channels.
    """
    if config.card == "simulated":
        from echodepth.apps.live.simulated_card import SimulatedCard

        return SimulatedCard(config.seed)
    return SoundDeviceCard(config.input_device, config.output_device)


class SoundDeviceCard:
    """A sound card of this computer, through PortAudio.

    Args:
        input_device: number, or part of the name, of the microphones' device; None for the system's default.
        output_device: number, or part of the name, of the loudspeaker's device; None for the system's default.

    Raises:
        ConfigError: a package or device is missing, or the device lacks a second channel or the sample rate.
    """

    def __init__(self, input_device: str | None = None, output_device: str | None = None) -> None:
        self._library = _sounddevice()
        microphones, loudspeaker = self._find("input", input_device), self._find("output", output_device)
        self._devices = microphones["index"], loudspeaker["index"]
        self._names = microphones["name"], loudspeaker["name"]
        if (channels := microphones["max_input_channels"]) < 2:
            raise ConfigError(
                f"{self._names[0]!r} has {channels} input channel(s), but two are needed: name a stereo device "
                f"with --input_device ({self._stereo_inputs()}), {WITHOUT_HARDWARE}"
            )
        try:
            self._library.check_input_settings(device=self._devices[0], channels=2, samplerate=SAMPLE_RATE)
            self._library.check_output_settings(device=self._devices[1], channels=1, samplerate=SAMPLE_RATE)
        except self._library.PortAudioError as error:
            raise ConfigError(
                f"{self.name} cannot do {SAMPLE_RATE} Hz with two microphones ({error}): choose that rate in the "
                f"system's sound settings, or another --input_device or --output_device"
            ) from error

    @property
    def name(self) -> str:
        """Names of the devices."""
        return " / ".join(dict.fromkeys(self._names))

    def play_and_record(self, signal: Float[np.ndarray, " n"], frames: int) -> Float[np.ndarray, "2 t"]:
        """See ``SoundCard``.

        Raises:
            ConfigError: the device was unplugged or is in use.
        """
        played = np.zeros((frames, 1), dtype=np.float32)
        played[: signal.size, 0] = signal
        try:
            recorded = self._library.playrec(
                played, samplerate=SAMPLE_RATE, channels=2, dtype="float32", device=self._devices, blocking=True
            )
        except self._library.PortAudioError as error:
            raise ConfigError(
                f"{self.name} stopped ({error}): is it plugged in, and free of other programs?"
            ) from error
        return np.ascontiguousarray(recorded.T)

    def ground_truth(self) -> None:
        """Unknown in a real room."""
        return

    def _find(self, kind: str, device: str | None) -> dict[str, Any]:
        query = int(device) if device is not None and device.isdecimal() else device
        try:
            found: dict[str, Any] = self._library.query_devices(query, kind)
        except (ValueError, self._library.PortAudioError) as error:
            problem = f"no {kind} device called {device!r}" if device else f"this computer has no {kind} device"
            listed = ", ".join(repr(each["name"]) for each in self._library.query_devices()) or "none"
            raise ConfigError(
                f"{problem} (there are: {listed}): plug one in, name it with --{kind}_device, {WITHOUT_HARDWARE}"
            ) from error
        return found

    def _stereo_inputs(self) -> str:
        names = [each["name"] for each in self._library.query_devices() if each["max_input_channels"] >= 2]
        return f"there are: {', '.join(map(repr, names))}" if names else "there is none"


def _sounddevice() -> Any:
    try:
        import sounddevice
    except ImportError as error:
        raise ConfigError(f"no package sounddevice: pip install 'echodepth[live]', {WITHOUT_HARDWARE}") from error
    except OSError as error:
        install = {"darwin": "brew install portaudio", "linux": "sudo apt install libportaudio2"}.get(sys.platform)
        raise ConfigError(
            f"the library PortAudio, through which sounddevice plays, is not installed: "
            f"{install or 'pip install --force-reinstall sounddevice'}, {WITHOUT_HARDWARE}"
        ) from error
    return sounddevice
