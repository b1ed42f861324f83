"""A loudspeaker and two microphones, real or simulated, behind one small interface."""

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
        """What it is, for messages and for the calibration file."""

    def play_and_record(self, signal: Float[np.ndarray, " n"], frames: int) -> Float[np.ndarray, "2 t"]:
        """Play from the recording's first sample on.

        Args:
            signal: full scale 1, at 44.1 kHz.
            frames: how long to record, in samples.

        Returns:
            Left ear first, full scale 1; ``t`` is ``frames``.
        """

    def truth(self) -> Float[np.ndarray, "s s"] | None:
        """The depth in metres where the last recording was made; None of a world that is not simulated."""


def open_card(config: CardConfig) -> SoundCard:
    """The card that the flags name, ready to play.

    Raises:
        ConfigError: a package or a device is missing, or the device has one microphone only.
    """
    if config.card == "simulated":
        from echodepth.apps.live.simulated_card import SimulatedCard

        return SimulatedCard(config.seed)
    return SoundDeviceCard(config.input_device, config.output_device)


class SoundDeviceCard:
    """This computer's sound through PortAudio.

    Args:
        input_device: part of a name or a number; None for the system's own.
        output_device: likewise.

    Raises:
        ConfigError: naming what is missing and the way out.
    """

    def __init__(self, input_device: str | None = None, output_device: str | None = None) -> None:
        self._library = _sounddevice()
        wanted = (("input", input_device), ("output", output_device))
        found = [self._find(kind, device) for kind, device in wanted]
        self._devices = found[0]["index"], found[1]["index"]
        self._names = found[0]["name"], found[1]["name"]
        if (microphones := found[0]["max_input_channels"]) < 2:
            raise ConfigError(
                f"{self._names[0]!r} has {microphones} input channel(s), and direction needs two: name a stereo device "
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
        """The devices' names."""
        return " / ".join(dict.fromkeys(self._names))

    def play_and_record(self, signal: Float[np.ndarray, " n"], frames: int) -> Float[np.ndarray, "2 t"]:
        """As ``SoundCard`` says.

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

    def truth(self) -> None:
        """Unknown."""
        return

    def _find(self, kind: str, device: str | None) -> dict[str, Any]:
        asked = int(device) if device is not None and device.isdecimal() else device
        try:
            found: dict[str, Any] = self._library.query_devices(asked, kind)
        except (ValueError, self._library.PortAudioError) as error:
            what = f"no {kind} device called {device!r}" if device else f"this computer has no {kind} device"
            listed = ", ".join(repr(each["name"]) for each in self._library.query_devices()) or "none"
            raise ConfigError(
                f"{what} (there are: {listed}): plug one in, name it with --{kind}_device, {WITHOUT_HARDWARE}"
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
