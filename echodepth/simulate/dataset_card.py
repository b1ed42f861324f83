"""What a simulated set says of itself: a card with settings and statistics, and a sheet of pictures."""

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
from echodepth.core.errors import ConfigError
from echodepth.simulate.acoustics.hrtf import SAMPLE_RATE
from echodepth.simulate.acoustics.loudspeaker import Loudspeaker
from echodepth.simulate.camera.render import FIELD_OF_VIEW
from echodepth.simulate.config import SimulateConfig
from echodepth.simulate.plan import Instance
from echodepth.simulate.rooms.scene import ROBOT_HEIGHT

VERSION = 2
"""Of the simulated world: a higher one makes other samples of the same seed."""

CARD = "simulation.json"
_CONTACT_SHEET = "contact_sheet.png"
_LONG_VIEW = 8000  # millimetres


def rig_of(config: SimulateConfig) -> Loudspeaker:
    """The loudspeaker and the air of a set."""
    return Loudspeaker(speed_of_sound=config.speed_of_sound)


def _settings(config: SimulateConfig) -> dict[str, object]:
    """What decides the samples' bytes."""
    named = asdict(config) | config.amount._asdict()
    left_out = ("out", "workers", "backend", "preset")
    return {"simulator": VERSION, **{name: value for name, value in named.items() if name not in left_out}}


def claim(config: SimulateConfig) -> dict[str, object]:
    """Put a card with the settings into the root, or see that the card there has the same.

    Raises:
        ConfigError: the root holds a set with other settings, or something else.
    """
    wanted, path = _settings(config), config.out / CARD
    if path.exists():
        there = json.loads(path.read_text())["settings"]
        if changed := [name for name in wanted if there.get(name) != wanted[name]]:
            differences = ", ".join(f"{name} {there.get(name)} (asked for: {wanted[name]})" for name in changed)
            raise ConfigError(
                f"{config.out} was simulated with {differences}: give those settings again to finish it, "
                "another --out, or delete the folder"
            )
    elif config.out.exists() and any(config.out.iterdir()):
        raise ConfigError(f"{config.out} is not empty and holds no {CARD}: give --out a new or empty folder")
    card: dict[str, object] = {
        "what": "Simulated binaural echoes, images and depth in BatVision V2's format",
        "settings": wanted,
        "conventions": {
            "field_of_view_degrees": FIELD_OF_VIEW,
            "robot_height_m": ROBOT_HEIGHT,
            "rig": asdict(rig_of(config)),
            "head": "MIT KEMAR, Gardner and Martin 1994",
        },
        "versions": {
            "echodepth": echodepth.__version__,
            "python": platform.python_version(),
            **{each.__name__.lower(): each.__version__ for each in (np, scipy, numba, joblib, PIL)},
        },
    }
    if not path.exists():
        with atomic_write(path) as unfinished:
            unfinished.write_text(json.dumps(card, indent=2) + "\n")
    return card


def finish(config: SimulateConfig, card: dict[str, object], instances: list[Instance], kinds: dict[int, str]) -> None:
    """Draw the contact sheet and write the card with the set's statistics.

    Args:
        config: of the set.
        card: from `claim`.
        instances: all recordings, whose files are there.
        kinds: what sort of room each is, by number.
    """
    _draw_contact_sheet(config, instances, kinds)
    with atomic_write(config.out / CARD) as unfinished:
        unfinished.write_text(json.dumps(card | _statistics(config, instances, kinds), indent=2) + "\n")


def _statistics(config: SimulateConfig, instances: list[Instance], kinds: dict[int, str]) -> dict[str, object]:
    # Pixels of each millimetre, as a large set's depth would not fit in memory.
    pixels = np.zeros(2**16, dtype=np.int64)
    for instance in instances:
        pixels += np.bincount(np.load(instance.path(config.out, "depth")).ravel(), minlength=pixels.size)
    valid = pixels.copy()
    valid[0] = 0
    up_to = valid.cumsum() / valid.sum()
    low, median, high = (int(np.searchsorted(up_to, share)) / 1000 for share in (0.05, 0.5, 0.95))
    largest = int(valid.nonzero()[0].max())
    return {
        "samples": dict(Counter(instance.split for instance in instances)),
        "rooms": dict(sorted(Counter(kinds.values()).items())),
        "depth": {
            "median_m": median,
            "percentile_5_m": low,
            "percentile_95_m": high,
            "largest_m": largest / 1000,
            "share_beyond_8_m": round(float(1 - up_to[_LONG_VIEW]), 4),
            "invalid_share": round(float(pixels[0] / pixels.sum()), 4),
            "pixels_per_metre": [int(valid[metre : metre + 1000].sum()) for metre in range(0, largest + 1, 1000)],
        },
    }


def _draw_contact_sheet(
    config: SimulateConfig, instances: list[Instance], kinds: dict[int, str], columns: int = 8
) -> None:
    """Image, depth (grey where invalid) and both ears' spectrograms of a few samples, side by side."""
    from matplotlib.figure import Figure

    chosen = [instances[int(at)] for at in np.linspace(0, len(instances) - 1, min(columns, len(instances)))]
    figure = Figure(figsize=(2.3 * len(chosen) + 0.6, 9.2), layout="constrained")
    axes = figure.subplots(4, len(chosen), squeeze=False)
    for column, instance in zip(axes.T, chosen, strict=True):
        column[0].imshow(Image.open(instance.path(config.out, "camera")))
        column[0].set_title(f"{kinds[instance.room]} {instance.room}, pose {instance.pose} ({instance.split})", size=8)
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
