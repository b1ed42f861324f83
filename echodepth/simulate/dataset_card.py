"""Card of a simulated set (settings, versions, statistics) and its contact sheet."""

import json
import logging
import platform
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import joblib
import numba
import numpy as np
import PIL
import scipy
import soundfile
from scipy.signal import stft

import echodepth
from echodepth.core.array_store import short_hash
from echodepth.core.atomic_io import atomic_write
from echodepth.core.constants import SAMPLE_RATE
from echodepth.core.errors import ConfigError
from echodepth.core.integrity import file_digest, read_comment, read_sums
from echodepth.core.schema import read_json, short
from echodepth.data.images import open_image
from echodepth.data.provenance import SIMULATION_FILE
from echodepth.simulate.acoustics.loudspeaker import Loudspeaker
from echodepth.simulate.camera.render import FIELD_OF_VIEW
from echodepth.simulate.config import SimulateConfig
from echodepth.simulate.plan import Instance
from echodepth.simulate.rig import DEFAULT_RIG, Rig

log = logging.getLogger(__name__)
VERSION = 3
"""Version of the simulation. A change means that the same seed gives other samples."""

CARD_NAME = SIMULATION_FILE
_CONTACT_SHEET = "contact_sheet.png"
_FAR_DEPTH = 8000  # millimetres


def make_loudspeaker(rig: Rig, config: SimulateConfig) -> Loudspeaker:
    """Loudspeaker and air of a room."""
    return Loudspeaker(emitter=rig.emitter, isolation=rig.isolation, speed_of_sound=config.speed_of_sound)


def _settings(config: SimulateConfig) -> dict[str, object]:
    """Settings that the bytes of the samples depend on."""
    rig = config.robot
    flags = {"robot_height": rig.height, "isolation": rig.isolation, "snr": rig.snr}
    values = asdict(config) | config.amount._asdict() | flags
    excluded = ["out", "workers", "backend", "preset", "rig"]
    # A set of one robot has the card that it had before there were several, so that it can be resumed.
    excluded += [] if config.rig_variation else ["rig_variation"]
    settings = {"simulator": VERSION, **{name: value for name, value in values.items() if name not in excluded}}
    # A set without --rig has the card that it had before there was one, so that it can be resumed.
    changed = {name: value for name, value in _rig_values(rig).items() if value != _rig_values(DEFAULT_RIG)[name]}
    others = {name: value for name, value in changed.items() if name not in ("height", "isolation", "snr")}
    return settings | ({"rig": others} if others else {})


def settings_line(config: SimulateConfig) -> str:
    """The comment of the list of digests, by which a set is recognised whose card is damaged."""
    return f"settings {short_hash(_settings(config))}"


def _rig_values(rig: Rig) -> dict[str, object]:
    """Fields of a rig as JSON gives them back: lists in place of tuples."""
    values: dict[str, object] = json.loads(json.dumps(asdict(rig)))
    return values


def create_or_verify_card(config: SimulateConfig) -> dict[str, object]:
    """Write a card with the settings to the root, or compare the settings with those of the card found there.

    A damaged card is written again if the list of digests was made with the same settings.

    Returns:
        The card without the statistics.

    Raises:
        ConfigError: the root holds a set with other settings, or other files.
    """
    settings, path = _settings(config), config.out / CARD_NAME
    found = _found_settings(config.out)
    if found is not None:
        names = [*settings, *(name for name in found if name not in settings)]
        if changed := [name for name in names if found.get(name) != settings.get(name)]:
            differences = ", ".join(
                f"{ascii(name)[1:-1]} {short(found.get(name))} (requested: {short(settings.get(name))})"
                for name in changed
            )
            raise ConfigError(
                f"{config.out} was simulated with {differences}: give the same settings to resume, "
                "another --out, or delete the folder"
            )
    elif read_comment(config.out) == settings_line(config):
        log.warning("%s is damaged or missing: it is written again", path)
    elif path.exists():
        raise ConfigError(
            f"{path} is damaged, and these settings are not those that {config.out} was simulated with: give the same "
            "settings to mend it, another --out, or delete the folder"
        )
    elif config.out.exists() and any(config.out.iterdir()):
        raise ConfigError(f"{config.out} is not empty and holds no {CARD_NAME}: give --out a new or empty folder")
    card: dict[str, object] = {
        "what": "Simulated binaural echoes, images and depth in BatVision V2's format",
        "settings": settings,
        "conventions": {
            "field_of_view_degrees": FIELD_OF_VIEW.degrees,
            "rig": _rig_values(config.robot),
            "loudspeaker": asdict(make_loudspeaker(config.robot, config)),
            "head": "MIT KEMAR, Gardner and Martin 1994",
        },
        "versions": {
            "echodepth": echodepth.__version__,
            "python": platform.python_version(),
            **{module.__name__.lower(): module.__version__ for module in (np, scipy, numba, joblib, PIL)},
        },
    }
    if found is None:
        _write_card(config, card)
    return card


def _found_settings(root: Path) -> dict[str, object] | None:
    """The settings in a card; None if there is no card, or a damaged one."""
    path, digests = root / CARD_NAME, read_sums(root) or {}
    if CARD_NAME in digests and file_digest(path) != digests[CARD_NAME]:
        return None
    try:
        settings = read_json(path)["settings"]
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return settings if isinstance(settings, dict) else None


def is_complete(config: SimulateConfig) -> bool:
    """Whether the root holds the whole set; a ConfigError if it holds one with other settings."""
    path = config.out / CARD_NAME
    if not path.exists():
        return False
    create_or_verify_card(config)
    return "samples" in read_json(path)  # the statistics are written last


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
    from echodepth.report.figures import depth_bar, depth_to_rgb, display_limit, save_figure
    from echodepth.report.grid import grid_figure

    chosen = [instances[int(index)] for index in np.linspace(0, len(instances) - 1, min(columns, len(instances)))]
    depths = [np.load(instance.path(config.out, "depth")) / 1000 for instance in chosen]
    metres = np.concatenate([depth.ravel() for depth in depths])
    limit = display_limit(metres, metres > 0)
    bars, captioned = [depth_bar(limit)], [True, False, False, False]
    width = 2.3 * len(chosen) + 0.6
    figure, axes = grid_figure(width, len(chosen), [1.0] * 4, captioned, bars, left=0.45, bottom=0.42)
    for column, instance, depth in zip(axes.T, chosen, depths, strict=True):
        column[0].imshow(open_image(instance.path(config.out, "camera")))
        title = f"{room_kinds[instance.room]} {instance.room}, pose {instance.pose} ({instance.split})"
        column[0].set_title(title, size=8)
        column[1].imshow(depth_to_rgb(depth, depth > 0, limit), interpolation="nearest")
        ears = soundfile.read(str(instance.path(config.out, "audio")))[0][:4410].T
        for cell, ear in zip(column[2:], ears, strict=True):
            frequency, time, spectrum = stft(ear, SAMPLE_RATE, nperseg=256, noverlap=224)
            level = 20 * np.log10(np.abs(spectrum) + 1e-6)
            extent = (0, 1000 * time[-1], 0, frequency[-1] / 1000)
            cell.imshow(level, origin="lower", extent=extent, aspect="auto", vmin=-95, vmax=-30)
        # Axes without ticks and labels are drawn several times as fast.
        for cell in (*column[:2], *(column[2:] if column[0] is not axes[0, 0] else ())):
            cell.set_axis_off()
    for cell, name in zip(axes[2:, 0], ("left", "right"), strict=True):
        cell.set(ylabel=f"{name} ear, kHz")
    axes[2, 0].set_xticks([])
    axes[3, 0].set_xlabel("time (ms)")
    save_figure(figure, config.out / _CONTACT_SHEET)
