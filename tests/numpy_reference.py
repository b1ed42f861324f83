"""Published evaluators once more, in NumPy and double precision: nothing here comes from torch or from the package.

Written from BatVision's ``utils_criterion.py`` and HTF-EchoDepth's ``eval_bv2.py`` and ``depth_metrics.py``, from the
definition of torchvision's resizing, and from docs/evaluation.md where it states another rule than they do.
"""

from typing import NamedTuple

import numpy as np

Array = np.ndarray


def nearest(length: int, size: int) -> Array:
    """The matrix [size, length] that takes the source pixel under each target pixel's centre."""
    weights = np.zeros((size, length))
    for target in range(size):
        weights[target, int(np.floor((target + 0.5) * length / size))] = 1
    return weights


def bilinear(length: int, size: int) -> Array:
    """The matrix that interpolates between the two source pixels around each target pixel's centre."""
    weights = np.zeros((size, length))
    for target in range(size):
        centre = max((target + 0.5) * length / size - 0.5, 0.0)
        first = int(centre)
        weights[target, first] += 1 - (centre - first)
        weights[target, min(first + 1, length - 1)] += centre - first
    return weights


def bilinear_antialias(length: int, size: int) -> Array:
    """The matrix of triangles, as wide as the target pixels are apart, over the centres of the source pixels."""
    width = max(length / size, 1.0)
    centres = (np.arange(size) + 0.5)[:, None] * length / size
    triangles = np.maximum(1 - np.abs(np.arange(length) + 0.5 - centres) / width, 0)
    weights: Array = triangles / triangles.sum(axis=1, keepdims=True)
    return weights


RESIZINGS = {"nearest": nearest, "bilinear": bilinear, "bilinear_antialias": bilinear_antialias}


def resized(image: Array, size: int, how: str) -> Array:
    rows, columns = (RESIZINGS[how](length, size) for length in image.shape)
    square: Array = rows @ image @ columns.T
    return square


class Rule(NamedTuple):
    """The resizing of ground truth, and the smallest scored depth in metres; 0 for every positive one."""

    resizing: str
    limit: float


RULES = {
    "official": Rule("bilinear", 0.0),
    "htf": Rule("bilinear_antialias", 0.5),
    "valid": Rule("nearest", 0.5),
    "loo": Rule("nearest", 0.5),
}


def ground_truth(millimetres: Array, size: int, max_depth: float, rule: Rule) -> tuple[Array, Array]:
    """The map that is scored, in metres, and its mask: clipped, then resized with its zeros, then masked."""
    depth = resized(np.minimum(millimetres / 1000.0, max_depth), size, rule.resizing)
    return depth, (depth > 0) & (depth >= rule.limit)


def metrics(prediction: Array, truth: Array) -> dict[str, float]:
    """Of flat arrays of scored pixels; a prediction that is no depth counts as 1 mm and misses every delta."""
    bad = ~(np.isfinite(prediction) & (prediction > 0))
    p = np.where(bad, 0.001, prediction)
    ratio = np.where(bad, np.inf, np.maximum(truth / p, p / truth))
    log_ratio = np.log(p) - np.log(truth)
    return {
        "rmse": float(np.sqrt(((truth - p) ** 2).mean())),
        "abs_rel": float((np.abs(truth - p) / truth).mean()),
        "log10": float(np.abs(np.log10(truth) - np.log10(p)).mean()),
        **{f"delta{k}": float((ratio < 1.25**k).mean()) for k in (1, 2, 3)},
        "mae": float(np.abs(truth - p).mean()),
        "silog": float(100 * log_ratio.std()),
    }


def evaluation(maps: list[Array], predictions: list[Array], max_depth: float, rule: Rule) -> dict[str, float]:
    """All figures of a split: means over the images with a scored pixel, those over all pixels, and counts."""
    scored = []
    for millimetres, prediction in zip(maps, predictions, strict=True):
        depth, mask = ground_truth(millimetres, len(prediction), max_depth, rule)
        scored.append((prediction[mask].astype(float), depth[mask]))
    rows = [metrics(*pair) for pair in scored if pair[1].size]
    pixels = np.concatenate([p for p, _ in scored]), np.concatenate([t for _, t in scored])
    return {
        **{name: float(np.mean([row[name] for row in rows])) for name in rows[0]},
        **{f"pooled_{name}": value for name, value in metrics(*pixels).items()},
        "images": len(rows),
        "pixels": pixels[1].size,
        "images_without_valid": len(scored) - len(rows),
        "bad_predictions": int((~(np.isfinite(pixels[0]) & (pixels[0] > 0))).sum()),
    }


def direction_correlations(
    maps: list[Array], predictions: list[Array], max_depth: float, rule: Rule
) -> dict[str, float]:
    """Over images, of the predicted and the true difference of mean log depth between two halves; even sides only."""
    pairs: dict[str, list[list[float]]] = {"left_right": [], "up_down": []}
    for millimetres, prediction in zip(maps, predictions, strict=True):
        depth, mask = ground_truth(millimetres, len(prediction), max_depth, rule)
        bad = ~(np.isfinite(prediction) & (prediction > 0))
        logs = [np.log(np.where(mask, each, 1)) for each in (np.where(bad, 0.001, prediction).astype(float), depth)]
        half = len(prediction) // 2
        for name, turned in (("left_right", False), ("up_down", True)):
            halves = [(each.T if turned else each) for each in (*logs, mask)]
            inside = halves[-1]
            if inside[:, :half].any() and inside[:, half:].any():
                pairs[name].append(
                    [
                        each[:, :half][inside[:, :half]].mean() - each[:, half:][inside[:, half:]].mean()
                        for each in halves[:2]
                    ]
                )
    return {
        name: float(np.corrcoef(np.transpose(values))[0, 1]) if len(values) > 2 else np.nan
        for name, values in pairs.items()
    }


def batvision_input(audio: Array, size: int) -> Array:
    """BatVision's input: the magnitude of 512 bins over a Hann window of 64 samples, every 16, without antialiasing."""
    window = np.zeros(512)
    window[224:288] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(64) / 64)
    ears = []
    for ear in audio.astype(float):
        padded = np.pad(ear, 256, mode="reflect")
        frames = [padded[start : start + 512] * window for start in range(0, len(padded) - 511, 16)]
        ears.append(resized(np.abs(np.fft.rfft(frames)).T, size, "bilinear"))
    return np.stack(ears)
