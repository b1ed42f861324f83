"""Card of a simulated set (settings, versions, statistics) and its contact sheet."""

import json
import platform
from collections import Counter
from dataclasses import asdict

import joblib
import numba
import numpy as np
import PIL
import scipy
import soundfile
from PIL import Image
from scipy.signal import stft

import echodepth
from echodepth.core.atomic_io import atomic_write
from echodepth.core.constants import SAMPLE_RATE
from echodepth.core.errors import ConfigError
from echodepth.simulate.acoustics.loudspeaker import Loudspeaker
from echodepth.simulate.camera.render import FIELD_OF_VIEW
from echodepth.simulate.config import SimulateConfig
from echodepth.simulate.plan import Instance
from echodepth.simulate.rooms.scene import ROBOT_HEIGHT

VERSION = 2
"""Version of the simulation. A change means that the same seed gives other samples."""

CARD_NAME = "simulation.json"
_CONTACT_SHEET = "contact_sheet.png"
_FAR_DEPTH = 8000  # millimetres


def make_loudspeaker(config: SimulateConfig) -> Loudspeaker:
    """Loudspeaker and air of a set."""
    return Loudspeaker(speed_of_sound=config.speed_of_sound)


def _settings(config: SimulateConfig) -> dict[str, object]:
    """Settings that the bytes of the samples depend on."""
    values = asdict(config) | config.amount._asdict()
    excluded = ("out", "workers", "backend", "preset")
    return {"simulator": VERSION, **{name: value for name, value in values.items() if name not in excluded}}


def create_or_verify_card(config: SimulateConfig) -> dict[str, object]:
    """Write a card with the settings to the root, or compare the settings with those of the card found there.

    Returns:
        The card without the statistics.

    Raises:
        ConfigError: the root holds a set with other settings, or other files.
    """
    settings, path = _settings(config), config.out / CARD_NAME
    if path.exists():
        found = json.loads(path.read_text())["settings"]
        if changed := [name for name in settings if found.get(name) != settings[name]]:
            differences = ", ".join(f"{name} {found.get(name)} (requested: {settings[name]})" for name in changed)
            raise ConfigError(
                f"{config.out} was simulated with {differences}: give the same settings to resume, "
                "another --out, or delete the folder"
            )
    elif config.out.exists() and any(config.out.iterdir()):
        raise ConfigError(f"{config.out} is not empty and holds no {CARD_NAME}: give --out a new or empty folder")
    card: dict[str, object] = {
        "what": "Simulated binaural echoes, images and depth in BatVision V2's format",
        "settings": settings,
        "conventions": {
            "field_of_view_degrees": FIELD_OF_VIEW,
            "robot_height_m": ROBOT_HEIGHT,
            "rig": asdict(make_loudspeaker(config)),
            "head": "MIT KEMAR, Gardner and Martin 1994",
        },
        "versions": {
            "echodepth": echodepth.__version__,
            "python": platform.python_version(),
            **{module.__name__.lower(): module.__version__ for module in (np, scipy, numba, joblib, PIL)},
        },
    }
    if not path.exists():
        _write_card(config, card)
    return card


def complete_card(
    config: SimulateConfig, card: dict[str, object], instances: list[Instance], room_kinds: dict[int, str]
) -> None:
    """Draw the contact sheet and add the statistics of the set to its card.

    Args:
        config: settings of the set.
        card: from `create_or_verify_card`.
        instances: all recordings of the set; their files exist.
        room_kinds: kind of each room, by its number.
    """
    _draw_contact_sheet(config, instances, room_kinds)
    _write_card(config, card | _statistics(config, instances, room_kinds))


def _write_card(config: SimulateConfig, card: dict[str, object]) -> None:
    with atomic_write(config.out / CARD_NAME) as unfinished:
        unfinished.write_text(json.dumps(card, indent=2) + "\n")


def _statistics(config: SimulateConfig, instances: list[Instance], room_kinds: dict[int, str]) -> dict[str, object]:
    # A histogram with one bin per millimetre: the depth maps of a large set do not fit in memory.
    histogram = np.zeros(2**16, dtype=np.int64)
    for instance in instances:
        histogram += np.bincount(np.load(instance.path(config.out, "depth")).ravel(), minlength=histogram.size)
    valid = histogram.copy()
    valid[0] = 0
    cumulative = valid.cumsum() / valid.sum()
    low, median, high = (int(np.searchsorted(cumulative, share)) / 1000 for share in (0.05, 0.5, 0.95))
    largest = int(valid.nonzero()[0].max())
    return {
        "samples": dict(Counter(instance.split for instance in instances)),
        "rooms": dict(sorted(Counter(room_kinds.values()).items())),
        "depth": {
            "median_m": median,
            "percentile_5_m": low,
            "percentile_95_m": high,
            "largest_m": largest / 1000,
            "share_beyond_8_m": round(float(1 - cumulative[_FAR_DEPTH]), 4),
            "invalid_share": round(float(histogram[0] / histogram.sum()), 4),
            "pixels_per_metre": [int(valid[start : start + 1000].sum()) for start in range(0, largest + 1, 1000)],
        },
    }


def _draw_contact_sheet(
    config: SimulateConfig, instances: list[Instance], room_kinds: dict[int, str], columns: int = 8
) -> None:
    """Draw image, depth map (grey where invalid) and the spectrograms of both ears for a few samples."""
    from matplotlib.figure import Figure

    chosen = [instances[int(index)] for index in np.linspace(0, len(instances) - 1, min(columns, len(instances)))]
    figure = Figure(figsize=(2.3 * len(chosen) + 0.6, 9.2), layout="constrained")
    axes = figure.subplots(4, len(chosen), squeeze=False)
    for column, instance in zip(axes.T, chosen, strict=True):
        column[0].imshow(Image.open(instance.path(config.out, "camera")))
        title = f"{room_kinds[instance.room]} {instance.room}, pose {instance.pose} ({instance.split})"
        column[0].set_title(title, size=8)
        metres = np.load(instance.path(config.out, "depth")) / 1000
        column[1].set_facecolor("0.6")
        shown = column[1].imshow(np.where(metres > 0, metres, np.nan), cmap="magma_r", vmin=0)
        figure.colorbar(shown, ax=column[1], location="bottom", label="depth (m)", shrink=0.9)
        ears = soundfile.read(str(instance.path(config.out, "audio")))[0][:4410].T
        for cell, ear, name in zip(column[2:], ears, ("left", "right"), strict=True):
            frequency, time, spectrum = stft(ear, SAMPLE_RATE, nperseg=256, noverlap=224)
            level = 20 * np.log10(np.abs(spectrum) + 1e-6)
            cell.pcolormesh(1000 * time, frequency / 1000, level, vmin=-95, vmax=-30, rasterized=True)
            cell.set(xlabel=f"{name} ear, time (ms)", ylabel="kHz" if column is axes.T[0] else "")
        for cell in column[:2]:
            cell.set(xticks=[], yticks=[])
    with atomic_write(config.out / _CONTACT_SHEET) as unfinished:
        figure.savefig(unfinished, format="png", dpi=110)
