"""Draw the figures of docs/concepts.md into docs/images, or into the folder in the first argument.

The figures are computed: first-order echoes in a box-shaped room, in two dimensions, at two ears without a head, and
the depth map of a camera in the same room.
"""

import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle
from scipy.signal import ShortTimeFFT, chirp

RATE, SPEED = 44100, 340.0
ROOM, ROOM_HEIGHT = np.array([5.0, 4.0]), 2.6  # metres; the robot faces along x
ROBOT, CAMERA_HEIGHT = np.array([1.2, 1.3]), 0.35
EARS = ROBOT + np.array([[0.0, 0.09], [0.0, -0.09]])  # left, right
LEFT, RIGHT, INK = "#1f77b4", "#d95f02", "#333333"
STYLE: Any = {"svg.fonttype": "none", "svg.hashsalt": "echodepth", "font.size": 9, "axes.titlesize": 10}


def chirp_signal() -> np.ndarray:
    """A chirp of 3 ms from 20 Hz to 20 kHz."""
    time = np.arange(int(0.003 * RATE)) / RATE
    return np.asarray(chirp(time, 20, 0.003, 20e3, phi=90)) * np.hanning(time.size)


def image_sources() -> dict[str, np.ndarray]:
    """The loudspeaker mirrored at each wall, metres."""
    x, y = ROBOT
    return {"front": np.array([2 * ROOM[0] - x, y]), "left": np.array([x, 2 * ROOM[1] - y]), "right": np.array([x, -y])}


def binaural_recording() -> np.ndarray:
    """Direct sound, one echo of each wall in front and at the sides, and noise at both ears; [2, t]."""
    recording = np.random.default_rng(0).normal(0, 0.002, (2, int(0.034 * RATE)))
    signal = chirp_signal()
    for ear, position in enumerate(EARS):
        for source in (ROBOT, *image_sources().values()):
            path_length = float(np.linalg.norm(source - position))
            start = round((0.001 + path_length / SPEED) * RATE)
            # The nearer ear gets a higher level. The direct sound is clipped to the scale of the echoes.
            side_gain = 1 + 0.5 * np.sign(position[1] - ROBOT[1]) * np.sign(source[1] - ROBOT[1])
            recording[ear, start : start + signal.size] += side_gain * min(1.0, 1 / path_length) * signal
    return recording


def depth_map(rows: int = 48, columns: int = 72) -> np.ndarray:
    """Depth along the optical axis of an empty box, for a field of view of 86 x 57 degrees."""
    right, down = np.meshgrid(
        np.tan(np.radians(43)) * np.linspace(-1, 1, columns), np.tan(np.radians(28.5)) * np.linspace(-1, 1, rows)
    )
    sideways = np.where(right < 0, ROOM[1] - ROBOT[1], ROBOT[1]) / np.maximum(np.abs(right), 1e-6)
    upright = np.where(down < 0, ROOM_HEIGHT - CAMERA_HEIGHT, CAMERA_HEIGHT) / np.maximum(np.abs(down), 1e-6)
    return np.asarray(np.minimum(np.minimum(sideways, upright), ROOM[0] - ROBOT[0]))


def draw_echo_to_depth(path: Path) -> None:
    """Draw the steps from the chirp to the depth map."""
    figure, axes = plt.subplots(2, 3, figsize=(10, 5.6), layout="constrained")
    _draw_chirp(axes[0, 0])
    _draw_floor_plan(axes[0, 1])
    _draw_recordings(axes[0, 2])
    _draw_spectrograms(axes[1, 0])
    _draw_image_grid(axes[1, 1])
    image = axes[1, 2].imshow(depth_map(), cmap="magma_r", vmin=0)
    figure.colorbar(image, ax=axes[1, 2], label="m", shrink=0.7)
    axes[1, 2].set(title="6  depth, along the optical axis", xticks=[], yticks=[])
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def _draw_chirp(ax: Axes) -> None:
    ax.plot(1000 * np.arange(chirp_signal().size) / RATE, chirp_signal(), color=INK, linewidth=0.8)
    ax.set(title="1  a chirp, 20 Hz to 20 kHz", xlabel="ms", yticks=[])


def _draw_floor_plan(ax: Axes) -> None:
    ax.add_patch(Rectangle((0, 0), *ROOM, fill=False, edgecolor=INK, linewidth=2))
    for source in image_sources().values():
        reflection = (ROBOT + source) / 2  # source and receiver coincide: the wall is half way to the image source
        arrow = {"arrowstyle": "<->", "color": "#888888"}
        ax.annotate("", (reflection[0], reflection[1]), (ROBOT[0], ROBOT[1]), arrowprops=arrow)
        x, y = ROBOT + 0.6 * (reflection - ROBOT) + 0.12
        ax.text(x, y, f"{np.linalg.norm(reflection - ROBOT):.1f} m", color="#666666")
    ax.scatter(EARS[:, 0], EARS[:, 1], c=[LEFT, RIGHT], s=22, zorder=3)
    ax.set(title="2  floor plan", aspect="equal", xlim=(-0.2, 5.2), ylim=(-0.2, 4.2))
    ax.axis("off")


def _draw_recordings(ax: Axes) -> None:
    for ear, (colour, name) in enumerate(((LEFT, "left ear"), (RIGHT, "right ear"))):
        channel = binaural_recording()[ear]
        ax.plot(1000 * np.arange(channel.size) / RATE, channel - 2.2 * ear, color=colour, linewidth=0.5)
        ax.text(33, 0.55 - 2.2 * ear, name, color=colour, ha="right")
    for name, source in image_sources().items():
        ax.text(1 + 1000 * float(np.linalg.norm(source - ROBOT)) / SPEED, 1.15, name, fontsize=8, color="#666666")
    ax.set(title="3  binaural recording", xlabel="ms: 1 ms is 17 cm of distance", yticks=[], ylim=(-3.4, 1.5))


def _draw_spectrograms(ax: Axes) -> None:
    transform = ShortTimeFFT(np.hanning(64), hop=8, fs=RATE, mfft=512)
    levels = [20 * np.log10(np.abs(transform.stft(ear)) + 1e-4)[:232] for ear in binaural_recording()]
    gap = np.full((12, levels[0].shape[1]), np.nan)
    ax.imshow(np.concatenate([levels[1], gap, levels[0]]), origin="lower", aspect="auto", cmap="viridis", vmin=-50)
    ax.set(title="4  spectrograms on one fixed scale", xlabel="time", xticks=[])
    ax.set_yticks([116, 360], ["right", "left"])


def _draw_image_grid(ax: Axes) -> None:
    rows, columns, side = 3, 8, 4
    direction = (10.45, 0.95)
    for row in range(rows):
        for column in range(columns):
            corner = (0.7 * column, 0.35 + 0.5 * row)
            ax.add_patch(Rectangle(corner, 0.6, 0.4, facecolor=INK, alpha=0.15 + 0.08 * ((3 * row + column) % 5)))
            weight = 0.1 + 0.9 * ((5 * row + 3 * column) % 7 == 0)
            start = corner[0] + 0.6, corner[1] + 0.2
            ax.plot(*zip(start, direction, strict=True), color=LEFT, linewidth=0.2 + weight, alpha=0.15 + 0.6 * weight)
    for row in range(side):
        for column in range(side):
            corner = (8.6 + 0.7 * column, 0.15 + 0.45 * row)
            is_direction = (row, column) == (1, 2)
            ax.add_patch(Rectangle(corner, 0.6, 0.36, facecolor=RIGHT if is_direction else "#dddddd", zorder=3))
    ax.text(2.75, 2.1, "frequency x time", ha="center")
    ax.text(9.95, 2.1, "directions", ha="center")
    ax.text(5.7, -0.35, "every direction depends on every time", ha="center")
    ax.set(title="5  image grid", xlim=(-0.2, 11.6), ylim=(-0.6, 2.6))
    ax.axis("off")


def draw_distillation(path: Path) -> None:
    """Draw the training of an audio student by an RGB teacher."""
    figure, ax = plt.subplots(figsize=(10, 4.4), layout="constrained")
    ax.add_patch(Rectangle((0.1, 0.1), 9.8, 1.45, facecolor="#fdf3ea", edgecolor="none"))
    ax.text(0.25, 0.2, "inference", color=RIGHT)
    for y, colour, texts in (
        (3.0, LEFT, ("image", "teacher: RGB, frozen", "features\nd4 … d1", "teacher depth")),
        (0.6, RIGHT, ("binaural\nechoes", "student: audio, trained", "features\nd4 … d1", "student depth")),
    ):
        for x, width, text in zip((0.3, 2.2, 5.2, 7.6), (1.3, 2.3, 1.5, 2.0), texts, strict=True):
            _box(ax, (x, y), (width, 0.8), text, colour)
        for start, end in ((1.65, 2.15), (4.55, 5.15), (6.75, 7.55)):
            _arrow(ax, (start, y + 0.4), (end, y + 0.4), colour)
    _box(ax, (7.6, 1.85), (1.4, 0.6), "ground\ntruth", "#2a9d5c")
    _arrow(ax, (8.2, 1.82), (8.2, 1.43), "#2a9d5c")
    _arrow(ax, (9.35, 2.97), (9.35, 1.43), LEFT)
    ax.text(9.45, 2.2, "pseudo-\nlabels", color=LEFT, va="center")
    _arrow(ax, (5.95, 2.97), (5.95, 1.43), LEFT)
    ax.text(5.85, 2.2, "cosine distance\nof features", color=LEFT, va="center", ha="right")
    ax.set(xlim=(0, 10.8), ylim=(0, 4.0))
    ax.axis("off")
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def _box(ax: Axes, corner: tuple[float, float], size: tuple[float, float], text: str, colour: str) -> None:
    ax.add_patch(FancyBboxPatch(corner, *size, boxstyle="round,pad=0.04", facecolor="white", edgecolor=colour))
    ax.text(corner[0] + size[0] / 2, corner[1] + size[1] / 2, text, ha="center", va="center", color=INK)


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float], colour: str) -> None:
    ax.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=12, color=colour))


def main(folder: Path) -> None:
    """Write both figures."""
    with plt.rc_context(STYLE):
        draw_echo_to_depth(folder / "echo_to_depth.svg")
        draw_distillation(folder / "distillation.svg")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent.parent / "docs" / "images")
